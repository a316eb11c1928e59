#!/bin/sh
# Install what the tests and the measurements use beyond Python: grpcurl, ghz and
# grpc-health-probe (built by Go at the versions of tools/go/go.sum), promtool and
# prometheus (Debian's packages, where the machine is one of Debian's).
#
# The programs go to .tools/bin, which the Makefile puts in front of PATH. A test
# that finds its program missing skips and says so; CI runs this first.
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.tools/bin
made=$bin/.made
mkdir -p "$bin"

if ! cmp -s tools/go/go.sum "$made"; then
    command -v go >/dev/null 2>&1 || {
        echo "Go 1.25 or newer is needed to build grpcurl, ghz and grpc-health-probe." >&2
        exit 1
    }
    echo "Building grpcurl, ghz and grpc-health-probe (some minutes the first time) ..."
    # Readonly: go.mod and go.sum decide, so that everyone has the same bytes.
    GOBIN=$bin GOFLAGS=-mod=readonly go install -C tools/go tool
    ln -sf grpc-health-probe "$bin/grpc_health_probe"  # the name that its documentation uses
    cp tools/go/go.sum "$made"
fi

packages=""
want() { command -v "$1" >/dev/null 2>&1 || packages="$packages $2"; }
want promtool prometheus
want unshare util-linux
want objdump binutils
if [ -n "$packages" ]; then
    if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
        echo "Not installed, tests that need them will skip:$packages"
    else
        # RUNLEVEL=1 keeps Debian from starting the Prometheus service that its
        # package brings: here it is a program for the tests, not a daemon.
        echo "Installing$packages ..."
        log=$(mktemp)
        { apt-get update -qq &&
          RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
        } >"$log" 2>&1 </dev/null || { cat "$log" >&2; exit 1; }
        rm -f "$log"
    fi
fi
echo "Tools are in $bin."
