#!/bin/sh
# Runs the official SDKs against the stub, directly and through steno.
# Usage: run.sh /path/to/steno
set -eu
bin=${1:?"usage: run.sh /path/to/steno (make build makes bin/steno)"}
for tool in node npm; do
	command -v "$tool" >/dev/null || { echo "test-clients needs $tool (Node.js 20 or newer)" >&2; exit 1; }
done
cd "$(dirname "$0")"
npm ci --no-audit --no-fund
exec node run.js "$bin"
