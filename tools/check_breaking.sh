#!/bin/sh
# Compare the contract with the last release, or before there is one with the
# commit before this one; exit non-zero where a caller would break.
#
# usage: check_breaking.sh [GIT-REF]     GIT-REF compares with that commit instead
#
# The commit is unpacked with `git archive` rather than named to buf as
# `.git#ref=`: that also works in the shallow clones that CI makes.
set -eu
cd "$(dirname "$0")/.."
buf=${BUF:-.venv/bin/buf}
released=proto/released.binpb
ref=${1:-}

if [ -z "$ref" ] && [ -f "$released" ]; then
    "$buf" breaking --against "$released"
    echo "The contract breaks nothing that $released has."
    exit 0
fi

ref=${ref:-HEAD~1}
if ! git rev-parse --quiet --verify "$ref^{commit}" >/dev/null; then
    if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
        git fetch --quiet --deepen=1 2>/dev/null || true
    elif [ "$ref" = HEAD~1 ]; then
        echo "Nothing to compare the contract with: this is the first commit."
        exit 0
    fi
    git rev-parse --quiet --verify "$ref^{commit}" >/dev/null || {
        echo "$ref is not in this clone. In a shallow one, run: git fetch --deepen=1" >&2
        exit 1
    }
fi

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
if [ -z "$(git ls-tree "$ref" proto/ buf.yaml)" ]; then
    echo "Nothing to compare the contract with: $ref has none."
    exit 0
fi
git archive "$ref" proto buf.yaml | tar -x -C "$before"
"$buf" breaking --against "$before"
echo "The contract breaks nothing that $(git rev-parse --short "$ref") has."
