#!/usr/bin/env bash
# Runs the suite against Kamailio and compares what it finds with findings.txt, in which every line was
# checked by hand against a packet capture (docs/kamailio.md). No case may end in `error`.
#
#   ci.sh            compare
#   ci.sh --update   write findings.txt anew, for a person to check
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=scenarios/profiles/kamailio-msilo
out=${IMSPEC_OUT:-imspec-reports/kamailio-msilo}

status=0
cargo run --release --quiet -- run --quiet --profile "$here" --out "$out" || status=$?
case $status in
    0 | 1) ;;
    *) echo "kamailio: imspec ended with status $status" >&2; exit 1 ;;
esac
[ $# -eq 0 ] || exec python3 "$here/findings.py" "$out/run.json" "$here/findings.txt" "$@"

differ=$(python3 "$here/findings.py" "$out/run.json" "$here/findings.txt" | tee >(cat >&2) | sed -n 's/^again: //p') && exit 0
[ -n "$differ" ] || exit 1
# Kamailio looks into its store once a second: what depends on the phase of that is looked at once more.
status=0
# shellcheck disable=SC2086
cargo run --release --quiet -- run --quiet --profile "$here" --out "$out/again" $differ || status=$?
case $status in
    0 | 1) ;;
    *) echo "kamailio: imspec ended with status $status" >&2; exit 1 ;;
esac
python3 "$here/findings.py" "$out/run.json" "$here/findings.txt" --again "$out/again/run.json"
