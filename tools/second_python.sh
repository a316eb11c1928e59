#!/bin/sh
# Find the system's own Python, where it is new enough and another than the one that
# .venv is made with. Prints its path, or nothing, and then says why on standard error.
#
# Debian 12 has 3.11.2, whose regular expressions mismatch possessive groups as 3.11.7's
# do not. Many a server runs there, and what fails there alone is seen nowhere else.
set -eu
cd "$(dirname "$0")/.."

second=/usr/bin/python3
version='import sys; print("%d.%d.%d" % sys.version_info[:3])'
skip() {
    echo "SKIPPED: $1; the tests have run with one Python only." >&2
    exit 0
}

test -x "$second" || skip "there is no $second"
PYTHON=$second tools/check_prerequisites.sh >/dev/null || skip "$second cannot hold the project"
first=$(tools/check_prerequisites.sh)
have=$("$first" -c "$version")
other=$("$second" -c "$version")
test "$have" != "$other" || skip "$second is $other too"
echo "Python $other beside $have" >&2
echo "$second"
