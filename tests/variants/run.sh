#!/usr/bin/env bash
# The suite against legal variants of the reference server; run.py says how.
exec python3 -B "$(dirname "$0")/run.py" "$@"
