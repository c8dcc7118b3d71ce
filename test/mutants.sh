#!/bin/sh
# Removes each step that makes something durable (the lines marked "// durable:"), one at a time, in a copy of the tree, and
# runs the package's tests: each removal must make a test fail. A mutant that does not build is an error of this script.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cp -r go.mod go.sum ./*.go catalogue* internal testdata "$work"
lines=$(grep -rn '// durable:' internal --include='*.go' | grep -v _test.go | cut -d: -f1,2)
[ -n "$lines" ] || { echo "no line is marked // durable:" >&2; exit 1; }
killed=0
for at in $lines; do
  file=${at%%:*}; n=${at##*:}; pkg=$(dirname "$file")
  cp "$file" "$work/$file"
  # The arguments are still evaluated, so that what is only used there stays in use.
  sed -i -E "${n}s/if _, err := [A-Za-z0-9_.]+\((.*)\); err/if _, err := func(...any) (int, error) { return 0, nil }(\1); err/; ${n}s/if err := [A-Za-z0-9_.]+\((.*)\); err/if err := func(...any) error { return nil }(\1); err/; ${n}s/([a-z]*err) = [A-Za-z0-9_.]+\((.*)\) ?(\/\/.*)?$/\1 = func(...any) error { return nil }(\2)/" "$work/$file"
  if cmp -s "$file" "$work/$file"; then echo "$at: this script does not know how to remove: $(sed -n "${n}p" "$file")" >&2; exit 1; fi
  if ! (cd "$work" && go test -count=1 -run XXX "./$pkg" >"$work/build" 2>&1); then
    echo "$at: the mutant does not build:" >&2; cat "$work/build" >&2; exit 1
  fi
  if (cd "$work" && go test -count=1 -timeout 300s "./$pkg" >"$work/out" 2>&1); then
    echo "SURVIVED $at: $(sed -n "${n}p" "$file" | sed 's/^[[:space:]]*//')"; survived=1
  else
    killed=$((killed + 1)); echo "killed   $at"
  fi
  cp "$file" "$work/$file"
done
echo "$killed passed, ${survived:-0} failed"
[ -z "${survived:-}" ]
