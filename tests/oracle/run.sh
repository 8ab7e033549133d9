#!/usr/bin/env bash
# Runs the suite against the reference server while tcpdump records the loopback interface, and holds what
# imspec read from each message of SIP and each frame of MSRP against what tshark reads from the wire. Then it
# spoils one field after the other, to see that this is found. See compare.py.
#
#   tests/oracle/run.sh [ARGUMENTS of imspec run]
#
# Needs tshark, tcpdump and the right to capture (root, or CAP_NET_RAW for tcpdump).
set -euo pipefail
cd "$(dirname "$0")/../.."

for tool in tcpdump tshark python3; do
    command -v "$tool" >/dev/null || { echo "oracle: $tool is not installed: apt-get install tshark tcpdump python3" >&2; exit 2; }
done

folder=$(mktemp -d)
capture_pid=
cleanup() {
    [ -z "$capture_pid" ] || kill "$capture_pid" 2>/dev/null || true
    rm -rf "$folder"
}
trap cleanup EXIT

cargo build --release --quiet
imspec=${CARGO_TARGET_DIR:-target}/release/imspec

# 256 MiB of kernel buffer: a packet that tcpdump drops would look like one that imspec invented.
tcpdump -i lo -n -s 0 -B 262144 -U -Z "$(id -un)" -w "$folder/lo.pcap" 'udp or tcp' 2>"$folder/tcpdump.log" &
capture_pid=$!
for _ in $(seq 200); do
    grep -qs 'listening on' "$folder/tcpdump.log" && break
    kill -0 "$capture_pid" 2>/dev/null || { cat "$folder/tcpdump.log" >&2; echo "oracle: tcpdump cannot capture on lo" >&2; exit 2; }
    sleep 0.05
done

status=0
# RB and SE send octets that are no message on purpose, and tshark makes of them what it likes.
whole=no
if [ $# -eq 0 ]; then
    whole=yes
    set -- 'PG-*' 'MS-*' 'MI-*' 'EX-*' 'PO-*' 'DL-*' 'IS-*' 'DU-*' 'CC-*' 'IO-*'
fi
"$imspec" run --quiet --out "$folder/reports" "$@" >"$folder/run.log" 2>&1 || status=$?
# 1 is a verdict about the server, and none about the codec; so is 6.
case $status in
    0 | 1 | 6) ;;
    *) cat "$folder/run.log" >&2; echo "oracle: the run itself failed with status $status" >&2; exit 2 ;;
esac

# A datagram of our own shows that everything before it is in the file.
mark="imspec-oracle-$$-$RANDOM"
for _ in $(seq 100); do
    printf '%s' "$mark" >/dev/udp/127.0.0.1/9
    grep -qaF "$mark" "$folder/lo.pcap" && break
    sleep 0.05
done
kill -INT "$capture_pid"
wait "$capture_pid" || true
capture_pid=
if ! grep -q '^0 packets dropped by kernel' "$folder/tcpdump.log"; then
    cat "$folder/tcpdump.log" >&2
    echo "oracle: the capture has gaps; try again on a quieter machine" >&2
    exit 2
fi

"$imspec" wire --fields "$folder/reports/run.json" >"$folder/fields.jsonl"
# A whole run has about 4,200 frames of MSRP that can be compared; one of chosen scenarios may have none.
floor=0
[ "$whole" = no ] || floor=3000
status=0
python3 tests/oracle/compare.py --at-least "$floor" "$folder/lo.pcap" "$folder/fields.jsonl" || status=$?
if [ "$status" -ne 0 ]; then
    kept=${CARGO_TARGET_DIR:-target}/oracle
    mkdir -p "$kept"
    cp "$folder/lo.pcap" "$folder/fields.jsonl" "$kept"
    echo "oracle: capture and fields are kept in $kept" >&2
fi
exit "$status"
