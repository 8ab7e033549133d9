#!/usr/bin/env bash
# Reports, read by what others made: tshark a capture, prove TAP, Chromium the pages.
#
#   tests/reports/run.sh IMSPEC FOLDER
#
# FOLDER holds the record of a run with failing cases.
set -euo pipefail
cd "$(dirname "$0")/../.."
imspec=$1
failing=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# RB and SE, and some of the others, send octets that are no message on purpose: tshark calls them what they are.
"$imspec" run --quiet --out "$folder" 'PG-0*' 'MS-0*' 'DL-0*' 'MI-0*' >/dev/null
"$imspec" report "$folder" --pcapng "$folder/run.pcapng"
python3 tests/reports/capture.py "$folder/run.pcapng" "$folder/run.json"

# Debian's prove knows versions up to 13, whose test points and YAML are those of 14.
older() { sed '1s/^TAP version 14$/TAP version 13/' >"$1"; }
"$imspec" report "$folder" --format tap --out - | older "$folder/results.tap"
prove --quiet --exec cat "$folder/results.tap"
"$imspec" report "$failing" --format tap --out - | older "$folder/failing.tap"
if prove --quiet --exec cat "$folder/failing.tap" >"$folder/prove.txt" 2>&1; then
    echo "prove sees no failure in $failing" >&2
    exit 1
fi
if grep -i 'parse error' "$folder/prove.txt"; then
    echo "prove cannot read what imspec writes" >&2
    exit 1
fi

"$imspec" report "$failing" --format html --out "$folder"
python3 tests/reports/browser.py "$folder/report.html"

"$imspec" compare "$folder" "$failing" --as servers --format html --out "$folder/servers.html"
# That the one is worse than the other is no news here.
"$imspec" compare "$folder" "$failing" --as builds --format html --out "$folder/builds.html" || true
"$imspec" report "$failing" --format statement --out "$folder"
python3 tests/reports/documents.py "$folder/servers.html" "$folder/builds.html" "$folder/statement.html"
