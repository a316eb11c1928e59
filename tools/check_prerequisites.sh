#!/bin/sh
# Find a Python that can hold the project, and say in ONE line what is missing.
#
# Prints the interpreter's path on standard output and nothing else; every
# message goes to standard error, so that a Makefile can use the answer as it is.
# It is a shell script because "there is no Python" is one of its answers.
#
# Why these four: the code needs Python 3.11; `make setup` needs its venv module
# (Debian packs it apart); hnswlib is published as source only, so its build
# needs Python's C headers and a C++ compiler.
set -eu

new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
python=""
for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14 python}; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$new_enough" >/dev/null 2>&1; then
        python=$(command -v "$candidate")
        break
    fi
done

missing=""   # for a reader
packages=""  # for apt
need() {
    missing="${missing:+$missing, }$1"
    packages="${packages:+$packages }$2"
}

if [ -z "$python" ]; then
    need "Python 3.11 or newer" "python3 python3-venv python3-dev"
else
    # Debian names its packages after the version when it is not the default one.
    deb=$("$python" -c 'import sys; print("python3.%d" % sys.version_info[1])')
    if [ "$python" = /usr/bin/python3 ]; then deb=python3; fi
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || need "Python's venv module" "$deb-venv"
    "$python" -c 'import os, sys, sysconfig
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not os.path.exists(header))' >/dev/null 2>&1 || need "Python's C headers" "$deb-dev"
fi
command -v "${CXX:-c++}" >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || need "a C++ compiler" "g++"

if [ -z "$missing" ]; then
    echo "$python"
    exit 0
fi

sudo=""
if [ "$(id -u)" -ne 0 ]; then sudo="sudo "; fi
{
    echo "rag-grpc needs what this machine does not have yet: $missing."
    if command -v apt-get >/dev/null 2>&1; then
        echo "    ${sudo}apt-get update && ${sudo}apt-get install -y $packages"
    else
        echo "On Debian and Ubuntu the packages are: $packages; install what your system calls them."
    fi
} >&2
exit 1
