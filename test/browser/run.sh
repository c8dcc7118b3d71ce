#!/bin/sh
# The console in a real browser, against `steno demo`. Needs node, npm and chromium (CHROMIUM names another one).
# Usage: run.sh STENO [SHOTS]; with SHOTS, screenshots are left in that directory.
set -eu
steno=${1:?usage: run.sh STENO [SHOTS]}
cd "$(dirname "$0")"
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$chromium" ]; then
	echo "there is no chromium here: install it (Debian: apt-get install chromium), or set CHROMIUM" >&2
	exit 1
fi
[ -d node_modules/playwright-core ] || npm ci --no-audit --no-fund
exec node check.mjs "$steno" "$chromium" "${2:-}"
