#!/usr/bin/env bash
# Take the pictures of this folder from a home in which `demo` has run.
#   IMAGING_HOME=/path/to/home docs/pictures/make_pictures.sh
# Needs chromium and curl, and the ports 3200 and 3201. Ends the UI that it starts.
set -euo pipefail
: "${IMAGING_HOME:?name a home in which imaging-platform demo has run}"
pictures="$(cd "$(dirname "$0")" && pwd)"
programs="$pictures/../../.venv/bin"
port=3200
scratch="$(mktemp -d)"

"$programs/imaging-platform" up --port "$port" >"$scratch/up.log" 2>&1 &
server=$!
trap 'kill -TERM "$server" 2>/dev/null; wait "$server" || true; rm -rf "$scratch"' EXIT
until curl --silent --fail --output /dev/null "http://localhost:$port/server_info"; do
    kill -0 "$server"
    sleep 1
done
# A picture taken while a run goes on shows its colours, not those of the result.
unfinished='{"query": "{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED]}) { ... on Runs { count } } }"}'
for _ in 1 2 3; do
    sleep 15
    until curl --silent --header "Content-Type: application/json" \
        --data "$unfinished" "http://localhost:$port/graphql" | grep --quiet '"count": *0'; do
        sleep 3
    done
done

# name, window, pixels a point, part of the picture (left,top,right,bottom), address
take() {
    chromium --headless --force-device-scale-factor="$3" --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --hide-scrollbars --user-data-dir="$scratch/$1" --window-size="$2" \
        --virtual-time-budget=20000 --screenshot="$scratch/$1.png" "$5" \
        >>"$scratch/chromium.log" 2>&1
    # Few colours keep each picture below 300 kB; without dithering greys stay grey.
    "$programs/python" - "$scratch/$1.png" "$pictures/$1.png" "$4" <<'PYTHON'
import sys
from PIL import Image

source, target, part = sys.argv[1:]
picture = Image.open(source).convert("RGB").crop([int(n) for n in part.split(",")])
few = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
few.save(target, optimize=True)
PYTHON
}

reports="http://localhost:$((port + 1))/reports/demo"
session="$(find "$IMAGING_HOME/reports/demo/sessions" -maxdepth 1 -name 'sub-*' -printf '%f\n' | sort | head -n 1)"
take asset_graph 1600,1400 2 500,370,3160,2350 \
    "http://localhost:$port/locations/imaging_platform/asset-groups/demo"
take session_report 1200,1500 1 0,0,1200,1120 "$reports/sessions/$session/report.html"
take study_report 1200,1500 1 0,0,1200,1400 "$reports/study/report.html"
