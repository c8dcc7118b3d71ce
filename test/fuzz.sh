#!/bin/sh
# Runs every fuzz target for the time given, one after the other.
set -eu
time=${1:-10s}
cd "$(dirname "$0")/.."
for pkg in $(go list ./...); do
  for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
    echo "== $pkg $target"
    go test -run XXX -fuzz "^$target\$" -fuzztime "$time" "$pkg"
  done
done
