#!/usr/bin/env bash
# Takes docs/images/card.png and walk.svg anew (make picture): the card of a failed run of the example, with good runs before it,
# and the terminal in which it ran. Everything that it makes lies in a temporary folder, but the pictures.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin="${1:-.venv/bin}"
browser="$(command -v chromium || command -v chromium-browser || command -v google-chrome)"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
export FREIGHT_DUCKDB_PATH="$scratch/freight.duckdb" DBT_FLOW_STATE="$scratch/state"
export METAFLOW_DATASTORE_SYSROOT_LOCAL="$scratch"

generate() { "$bin/python" dbt_project/raw_data/generate.py "$@" | tail -n 1; }
run() { "$bin/dbt-flow" run "$1" 2>/dev/null || true; }

generate
run carrier_reference
for _ in 1 2 3 4; do run carrier_safety; done
generate --break not_null
"$bin/python" docs/images/walk.py "$bin"  # runs carrier_safety
"$bin/dbt-flow" card carrier_safety --out "$scratch/card.html"
"$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --user-data-dir="$scratch/browser" --hide-scrollbars \
    --window-size=1280,"${HEIGHT:-1400}" --screenshot="$PWD/docs/images/card.png" "file://$scratch/card.html" 2>/dev/null
ls -l docs/images/card.png docs/images/walk.svg
