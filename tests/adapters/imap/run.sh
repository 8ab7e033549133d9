#!/usr/bin/env bash
# The store adapter `imap` with Dovecot: what a run relies on, and some scenarios that need the store.
#
#   tests/adapters/imap/dovecot.sh tests/adapters/imap/run.sh [IMSPEC]
#
# Needs dovecot-imapd and python3.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
imspec=$(realpath "${1:-${CARGO_TARGET_DIR:-$here/../../../target}/release/imspec}")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$imspec" adapter check "$here"
"$imspec" run PG-01 PG-02 PG-03 PG-24 DL-01 DL-02 --quiet --profile "$here" --out "$out"
if grep -rqF "$IMSPEC_PASSWORD" "$out"; then
    echo "imap: the password stands in a report" >&2
    exit 1
fi
