#!/usr/bin/env bash
# Build the image from the Dockerfile and start it, on a machine without Docker.
#
# buildah runs the build in a plain chroot, on a base that debootstrap makes of the
# machine's own Debian: neither a container engine nor an image registry is needed, and
# what the Dockerfile says is what is built. The image is then started as an
# orchestrator would do it at its strictest: its own user, environment and
# entrypoint, a root that is mounted read-only, /data alone writable, no other
# process's network. Needs root, and Debian's buildah, debootstrap and iproute2.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "image-check: $*"; }
die() { say "FAILED: $*" >&2; exit 1; }
[[ $(id -u) -eq 0 ]] || die "needs root, for chroot and mounts"

need=()
command -v buildah >/dev/null || need+=(buildah)
command -v debootstrap >/dev/null || need+=(debootstrap)
command -v ip >/dev/null || need+=(iproute2)
if ((${#need[@]})); then
    say "installing ${need[*]}"
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null 2>&1
fi

scratch=$(mktemp -d /var/tmp/rag-image-check.XXXXXX)
server=""
cleanup() {
    if [[ -n $server ]]; then kill -KILL "$server" 2>/dev/null || true; fi
    "${buildah[@]}" umount --all >/dev/null 2>&1 || true
    rm -rf --one-file-system "$scratch"
}
trap cleanup EXIT
# A storage of our own, thrown away afterwards; vfs needs no kernel support.
buildah=(buildah --root "$scratch/storage" --runroot "$scratch/run" --storage-driver vfs)
# vfs copies whole layers: one copy for each instruction would fill the disk.
bud=(bud --isolation chroot --format docker --layers=false --quiet)

# The base: what python:3-slim is, from Debian's packages. Kept between runs.
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
kept=${XDG_CACHE_HOME:-$HOME/.cache}/rag-grpc/image-base-$suite.tar
if [[ ! -f $kept ]]; then
    say "making a base of Debian $suite"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-dev,python3-venv \
        "$suite" "$scratch/base" >"$scratch/debootstrap.log" 2>&1 || { tail -20 "$scratch/debootstrap.log"; die "debootstrap"; }
    # Trust what this machine trusts: its registries may be mirrors.
    cp /etc/ssl/certs/ca-certificates.crt "$scratch/base/etc/ssl/certs/ca-certificates.crt"
    mkdir -p "$(dirname "$kept")"
    tar -C "$scratch/base" --exclude='./dev/*' --exclude='./var/cache/apt/archives/*.deb' -cf "$kept.new" .
    mv "$kept.new" "$kept"
    rm -rf "$scratch/base"
fi
base=$("${buildah[@]}" from scratch)
"${buildah[@]}" add --quiet "$base" "$kept" / >/dev/null
"${buildah[@]}" config --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$base"
"${buildah[@]}" commit --quiet --rm "$base" rag-grpc-base >/dev/null

say "building"
"${buildah[@]}" "${bud[@]}" --build-arg BASE=localhost/rag-grpc-base --build-arg VERSION=check --tag rag-grpc . \
    >"$scratch/build.log" 2>&1 || { tail -40 "$scratch/build.log"; die "the build"; }

# What the image says of itself, read as the orchestrator reads it.
"${buildah[@]}" inspect --type image rag-grpc >"$scratch/image.json"
python3 - "$scratch/image.json" "$scratch" <<'PYTHON'
import json, sys
from pathlib import Path

config = json.loads(Path(sys.argv[1]).read_text())["Docker"]["config"]
expected = {
    "User": "10001:10001", "Entrypoint": ["rag-grpc"], "Cmd": ["serve"], "WorkingDir": "/data",
    "StopSignal": "SIGTERM", "Volumes": {"/data": {}}, "ExposedPorts": {"50051/tcp": {}, "8000/tcp": {}},
}
wrong = {key: config.get(key) for key, value in expected.items() if config.get(key) != value}
if wrong:
    sys.exit(f"image-check: FAILED: the image's configuration has {wrong}")
probe = config["Healthcheck"]["Test"]
if probe[0] != "CMD":
    sys.exit(f"image-check: FAILED: the health check {probe} needs a shell")
out = Path(sys.argv[2])
(out / "env").write_text("\0".join(config["Env"]) + "\0")
(out / "command").write_text("\0".join(config["Entrypoint"] + config["Cmd"]) + "\0")
(out / "probe").write_text("\0".join(probe[1:]) + "\0")
PYTHON

container=$("${buildah[@]}" from --pull-never rag-grpc)
root=$("${buildah[@]}" mount "$container")
mkdir "$scratch/data"
chown 10001:10001 "$scratch/data"
mapfile -d '' -t environment <"$scratch/env"
mapfile -d '' -t command <"$scratch/command"
mapfile -d '' -t probe <"$scratch/probe"

say "starting ${command[*]} as 10001:10001 on a read-only root"
# Every step is an exec, so the server's process id is the one we have and SIGTERM goes
# straight to it, as with an ENTRYPOINT in exec form.
unshare --mount --net -- bash -euc '
    root=$1 data=$2; shift 2
    ip link set lo up
    mount --bind "$root" "$root"
    mount --bind "$data" "$root/data"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -o remount,bind,ro "$root"
    cd "$root"
    exec chroot --userspec=10001:10001 --groups= "$root" "$@"
' bash "$root" "$scratch/data" /usr/bin/env -i --chdir=/data "${environment[@]}" "${command[@]}" >"$scratch/log" 2>&1 &
server=$!

# Run a command beside the server: its mounts, its network, its user.
inside() {
    nsenter --target "$server" --mount --net --wd="$root" -- \
        chroot --userspec=10001:10001 --groups= "$root" /usr/bin/env -i --chdir=/data "${environment[@]}" "$@"
}

deadline=$((SECONDS + 60))
until inside "${probe[@]}" >"$scratch/probe.log" 2>&1; do
    kill -0 "$server" 2>/dev/null || { cat "$scratch/log"; die "the server ended"; }
    ((SECONDS < deadline)) || { cat "$scratch/log" "$scratch/probe.log"; die "not SERVING after 60 s"; }
    sleep 0.2
done
say "the health check passes"

# As root, or the owner of the folder would be what keeps it from being written.
if nsenter --target "$server" --mount -- touch "$root/opt/written" 2>/dev/null; then die "the root is writable"; fi
[[ -n $(ls -A "$scratch/data") ]] || die "nothing was written to /data"
inside python3 -c '
import urllib.request
for path in ("/healthz", "/readyz", "/metrics"):
    with urllib.request.urlopen("http://127.0.0.1:8000" + path, timeout=5) as answer:
        assert answer.status == 200, (path, answer.status)
' || { cat "$scratch/log"; die "the HTTP sidecar"; }
say "the sidecar answers /healthz, /readyz and /metrics"

python3 -c '
import json, sys
for line in open(sys.argv[1]):
    json.loads(line)
' "$scratch/log" || { cat "$scratch/log"; die "a log line that is not JSON"; }

kill -TERM "$server"
status=0
wait "$server" || status=$?
server=""
((status == 0)) || { cat "$scratch/log"; die "exit status $status after SIGTERM"; }
say "SIGTERM ends it with status 0"
say "passed in $SECONDS s"
