#!/usr/bin/env python3
"""Holds the fields that imspec read from its messages against those that tshark reads from the wire.

    compare.py [--at-least FRAMES] CAPTURE.pcap FIELDS.jsonl

FIELDS.jsonl comes from `imspec wire --fields run.json`: one line for each message in the traces of a run.
CAPTURE.pcap was taken on the loopback interface while that run took place. sip.py and msrp.py tell what is
compared and what is left out; everything that is left out is counted and printed. FRAMES is how many frames
of MSRP must have been compared at least.

tshark is asked for what it is good at: where a message begins and ends, which header field is which, and
which octets are its value. It is not asked whether a message is right.

When the two agree, one field of one message is changed, each field in its turn, and the comparison made
again: it must find every change. An oracle that cannot say no says nothing.

Nothing here is shared with imspec: Python's standard library and tshark.
Exit status: 0 they agree, 1 they do not, 2 the comparison could not be made.
"""

import argparse
import collections
import json
import sys

import capture
import msrp
import sip

MOST_SHOWN = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-least", type=int, default=0, metavar="FRAMES")
    parser.add_argument("capture")
    parser.add_argument("fields")
    asked = parser.parse_args()
    with open(asked.fields, encoding="utf-8") as lines:
        said = [json.loads(line) for line in lines]
    if not said:
        print(f"oracle: {asked.fields} holds no message", file=sys.stderr)
        return 2
    try:
        wires = sip.Wire(asked.capture, said), msrp.Wire(asked.capture, said)
    except capture.Unreadable as why:
        print(f"oracle: {why}", file=sys.stderr)
        return 2
    compared = compare(said, wires)
    for one in compared:
        print(one.summary())
    faults = [fault for one in compared for fault in one.faults]
    for fault in faults[:MOST_SHOWN]:
        print(fault)
    if len(faults) > MOST_SHOWN:
        print(f"… and {len(faults) - MOST_SHOWN} more")
    if faults:
        print(f"oracle: tshark and imspec disagree, {len(faults)} times")
        return 1
    few = enough(compared, asked.at_least)
    if few:
        print(f"oracle: {few}", file=sys.stderr)
        return 2
    print("oracle: tshark and imspec agree")
    return spoilt(said, compared)


def compare(said, wires):
    """SIP first: when the last message of a case was seen is known by it, and MSRP needs that."""
    last = collections.defaultdict(float)
    of_sip = sip.Comparison(said, wires[0], last)
    return of_sip, msrp.Comparison(said, wires[1], last)


def enough(compared, floor):
    """Why so little was compared that it says nothing; None where it was enough."""
    of_sip, of_msrp = compared
    if not of_sip.pairs:
        return "no message of SIP was compared"
    if len(of_msrp.pairs) < floor:
        return f"{len(of_msrp.pairs)} frames of MSRP were compared, {floor} at least should be"
    if 2 * len(of_msrp.pairs) < of_msrp.placed:
        return f"{len(of_msrp.pairs)} frames of MSRP were compared, less than half of {of_msrp.placed}"
    return None


def spoilt(said, compared):
    """Changes one field at a time in what imspec said; each must be found."""
    found, missed = [], []
    for one in compared:
        for field, line in one.changeable():
            kept = line[field]
            line[field] = kept + (1 if isinstance(kept, int) else "x")
            again = one.again(said)
            line[field] = kept
            (found if again.faults else missed).append(f"{one.protocol} {field}")
    if missed:
        print(f"oracle: changed on purpose, and not noticed: {', '.join(missed)}", file=sys.stderr)
        return 1
    print(f"oracle: changed on purpose, and found: {', '.join(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
