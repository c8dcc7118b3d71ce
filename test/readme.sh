#!/bin/sh
# The README's first block as it stands, on a fresh clone with empty Go caches: the printed curl is run verbatim, and the exchange
# its answer names is read back by the printed lines. Only the clone's address is replaced, by this checkout.
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
pid=
clean() {
  if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi
  rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' INT TERM
fail() { echo "test/readme.sh: $*" >&2; cat "$dir/out" "$dir/err" >&2 2>/dev/null || true; exit 1; }

unset MAKEFLAGS MAKELEVEL MFLAGS CGO_ENABLED STENO_DATA STENO_SERVER STENO_TOKEN
mkdir "$dir/tmp"
export GOMODCACHE="$dir/mod" GOCACHE="$dir/cache" GOFLAGS=-modcacherw TMPDIR="$dir/tmp"
awk '/^    /{print substr($0, 5); on = 1; next} on{exit}' "$src/README.md" >"$dir/lines"
clone=$(sed -n 's/ *#.*//; /^git clone /p' "$dir/lines" | sed "s|https://[^ ]*|$src steno|")
run=$(sed -n 's/ *#.*//; /^make run/p' "$dir/lines")
[ -n "$clone" ] && [ -n "$run" ] || fail "README.md's first block should hold a git clone line and a make run line"

begin=$(date +%s)
cd "$dir"
eval "$clone"
sh -c "exec $run" >"$dir/out" 2>"$dir/err" &
pid=$!
until grep -q 'Ctrl-C stops it' "$dir/out"; do
  kill -0 "$pid" 2>/dev/null || fail "'$run' ended before it was ready"
  sleep 0.2
done
ready=$(($(date +%s) - begin))
# make answers a signal with an error of its own, so the demo itself is told to stop.
make=$pid
pid=$(ps -o pid= --ppid "$make" | tr -d ' ')

sed -n 's/^  \(curl .*\)/\1/p' "$dir/out" >"$dir/curl"
[ -s "$dir/curl" ] || fail "the demo printed no curl"
sh "$dir/curl" >"$dir/answer" || fail "the printed curl failed"
answered=$(($(date +%s) - begin))
id=$(tr -d '\r' <"$dir/answer" | sed -n 's/^[Xx]-[Ss]teno-[Ee]xchange: *//p')
[ -n "$id" ] || fail "the answer names no exchange: $(cat "$dir/answer")"

PATH="$dir/steno/bin:$PATH"
sed -n 's/^  \(export STENO_SERVER=.*\)/\1/p; s/^  \(steno show \)ID.*/\1'"$id"'/p' "$dir/out" >"$dir/show"
sh "$dir/show" >"$dir/shown" || fail "steno show $id failed"
grep -q 'What does a court reporter do?' "$dir/shown" || fail "steno show $id should print the prompt: $(cat "$dir/shown")"

kill -TERM "$pid"
pid=
wait "$make" || fail "the demo should end with 0 after SIGTERM"
echo "cold: ready ${ready}s after the clone began, first answer after ${answered}s; exchange $id read back"
