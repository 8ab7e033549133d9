#!/usr/bin/env bash
# Runs the suite against a server and compares what is found with the findings.txt of its profile, in which every line was
# checked by hand. No case may end in `error`.
#
#   ci.sh PROFILE            compare
#   ci.sh PROFILE --update   write findings.txt anew, for a person to check
set -euo pipefail
cd "$(dirname "$0")/../.."
name=${1:?usage: ci.sh PROFILE [--update]}
shift
here=scenarios/profiles/$name
out=${IMSPEC_OUT:-imspec-reports/$name}

run() { # run OUT [SCENARIO…]: a server that does not conform is no failure here
    local status=0 to=$1
    shift
    cargo run --release --quiet -- run --quiet --profile "$here" --out "$to" "$@" || status=$?
    case $status in
        0 | 1) ;;
        *) echo "$name: imspec ended with status $status" >&2; exit 1 ;;
    esac
}
compare() { python3 scenarios/profiles/findings.py "$out/run.json" "$here/findings.txt" "$@"; }

run "$out"
[ $# -eq 0 ] || { compare "$@"; exit; }
differ=$(compare | tee >(cat >&2) | sed -n 's/^again: //p') && exit 0
[ -n "$differ" ] || exit 1
# What depends on the phase of a timer of the server, or on how busy the machine is, is looked at once more.
# shellcheck disable=SC2086
run "$out/again" $differ
compare --again "$out/again/run.json"
