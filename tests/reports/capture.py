#!/usr/bin/env python3
"""Holds what tshark reads from a capture that imspec made against the record from which it was made.

    tests/reports/capture.py CAPTURE RUN_JSON

Every message is dissected as what it is, in the order and with the addresses of the record, and tshark finds nothing
malformed, no wrong checksum, and no gap in a stream.
"""

import json
import subprocess
import sys


def tshark(capture, *options):
    # Frames begin with their protocol's name, while any port may be one that another protocol once had.
    command = ["tshark", "-n", "-r", capture, "-o", "tcp.try_heuristic_first:TRUE", "-o", "udp.try_heuristic_first:TRUE",
               "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    capture, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        record = json.load(file)
    wanted = []
    for case in record["cases"]:
        for event in case["trace"]["events"]:
            for way in ("sent", "received"):
                if isinstance(event["kind"], dict) and (packet := event["kind"].get(way)):
                    wanted.append((event["at_us"], packet["protocol"]))
    count = {name: sum(protocol == name for _, protocol in wanted) for name in ("sip", "msrp")}
    failed = []
    bad = tshark(capture, "-Y", "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 || "
                 "tcp.checksum.status == 0 || tcp.analysis.flags || _ws.short")
    if bad:
        failed.append(f"tshark complains:\n{bad[:2000]}")
    for name, number in count.items():
        # Several messages may stand in one frame's tree; each has a line of its own that begins it.
        seen = tshark(capture, "-Y", name, "-T", "fields", "-e", "sip.Request-Line" if name == "sip" else "msrp.method",
                      "-e", "sip.Status-Line" if name == "sip" else "msrp.status.code").splitlines()
        if len(seen) != number:
            failed.append(f"{number} messages of {name} in the record, {len(seen)} frames of it in the capture")
    times = tshark(capture, "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.comment").splitlines()
    told = [line for line in times if line.split("\t")[1]]
    if len(told) != len(wanted):
        failed.append(f"{len(wanted)} messages, {len(told)} comments")
    print("\n".join(failed) or f"{capture}: {count['sip']} messages of SIP and {count['msrp']} of MSRP, as in the record")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
