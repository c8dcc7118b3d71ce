#!/bin/sh
# Checks the vectors with the Python reader, which was written from docs/format.md alone.
set -eu
cd "$(dirname "$0")"
venv=${VECTORS_VENV:-$(mktemp -d)/venv}
python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check cryptography zstandard
exec "$venv/bin/python" reader.py
