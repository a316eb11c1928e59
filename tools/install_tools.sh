#!/bin/sh
# Install what the tests and the measurements use beyond Python: grpcurl, ghz and
# grpc-health-probe (built by Go at the versions of tools/go/go.sum), promtool and
# prometheus (from Debian's package, where the machine is one of Debian's), and
# Chromium with its driver (installed by apt, as root), which opens the pages.
#
# The others go to .tools/bin, which the Makefile puts in front of PATH. A test
# that finds its program missing skips and says so; CI runs this first.
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.tools/bin
made=$bin/.made
mkdir -p "$bin"
PATH=$bin:$PATH

if ! cmp -s tools/go/go.sum "$made"; then
    command -v go >/dev/null 2>&1 || {
        echo "Go 1.25 or newer is needed to build grpcurl, ghz and grpc-health-probe." >&2
        exit 1
    }
    echo "Building grpcurl, ghz and grpc-health-probe (some minutes the first time) ..."
    # Readonly: go.mod and go.sum decide, so that everyone has the same bytes.
    log=$(mktemp)
    GOBIN=$bin GOFLAGS=-mod=readonly go install -C tools/go tool >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    rm -f "$log"
    ln -sf grpc-health-probe "$bin/grpc_health_probe"  # the name that its documentation uses
    cp tools/go/go.sum "$made"
fi

# Unpacked, not installed: the package would bring a service that starts by itself.
if ! { command -v promtool && command -v prometheus; } >/dev/null 2>&1; then
    if command -v apt-get >/dev/null 2>&1; then
        echo "Fetching prometheus and promtool ..."
        unpacked=$(mktemp -d)
        trap 'rm -rf "$unpacked"' EXIT
        chmod 755 "$unpacked"  # apt fetches as a user of its own
        if [ "$(id -u)" -eq 0 ]; then apt-get update -qq >/dev/null; fi
        (cd "$unpacked" && apt-get download -qq prometheus >/dev/null 2>log) || {
            cat "$unpacked/log" >&2
            echo "Debian's package prometheus could not be fetched; is apt's list fresh?" >&2
            exit 1
        }
        dpkg-deb --extract "$unpacked"/prometheus_*.deb "$unpacked"
        cp "$unpacked/usr/bin/prometheus" "$unpacked/usr/bin/promtool" "$bin"
    else
        echo "No promtool and no apt to fetch it: the tests that need it will skip."
    fi
fi

# Installed, not unpacked as above: it comes with some hundred libraries.
if ! { command -v chromium && command -v chromedriver; } >/dev/null 2>&1; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
        echo "Installing chromium and chromium-driver ..."
        log=$(mktemp)
        { apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver
        } >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
        rm -f "$log"
    else
        echo "No Chromium, and only root's apt brings it: the tests that open pages will skip."
    fi
fi
echo "Tools are in $bin."
