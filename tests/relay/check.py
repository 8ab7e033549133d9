#!/usr/bin/env python3
"""Holds the record of a run behind a relay against what must be in it.

    check.py RUN.JSON TRANSPORT RELAY PASSWORD-FILE PART

Every case must have passed. By WebSocket the agents' own URIs must be such as RFC 7977 has them. Every MSRP frame of the agents must have gone over one connection to the relay,
with paths as RFC 4976 wants them: what a relay has granted stands before the other end's path in what an agent
sends, and the relay before everybody else in the From-Path of what he gets. And there must be enough of
everything, so that an empty run does not look like a good one; PART says of what: `relay` is the scenarios of
this folder, `suite` those of the suite.
"""

import base64
import json
import re
import sys
from collections import Counter
from pathlib import Path


# What must have been seen: chunks both ways, and reports; in our own scenarios through the relays of two agents
# as well as through one before the server.
NEEDED = {
    "suite": ("granted", "sent SEND", "sent SEND +", "received SEND", "sent 200", "received 200"),
    "relay": ("granted", "sent SEND", "sent SEND +", "received SEND", "received SEND +", "sent REPORT",
              "received REPORT", "received SEND over 1 relays", "received SEND over 2 relays",
              "received REPORT over 1 relays", "received REPORT over 2 relays"),
}


def octets(packet):
    held = packet["octets"]
    return held.encode() if isinstance(held, str) else base64.b64decode(held["base64"])


def frame(packet):
    """First line, header fields, mark of the end line."""
    text = octets(packet).decode("utf-8", "replace")
    head = text.split("\r\n\r\n", 1)[0]
    lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    first = lines[0].split(" ", 2)
    end = text.rstrip("\r\n").rsplit("\r\n", 1)[-1]
    return first[1], first[2], fields, end[-1:]


class Check:
    def __init__(self, transport, relay):
        self.transport = transport
        self.relay = relay
        scheme = "msrps" if transport in ("tls", "wss") else "msrp"
        self.authority = f"{scheme}://{relay}/"
        self.seen = Counter()
        self.wrong = []

    def expect(self, holds, case, event, what):
        if not holds:
            self.wrong.append(f"{case}, event {event}: {what}")

    def case(self, case):
        name, granted = case["id"], {}
        for event in case["trace"]["events"]:
            kind, at = event["kind"], event["id"]
            if not isinstance(kind, dict):
                continue
            for way in ("sent", "received"):
                packet = kind.get(way)
                if packet and packet["protocol"] == "msrp":
                    self.packet(name, at, way, packet, granted)

    def packet(self, name, at, way, packet, granted):
        self.expect(packet["transport"] == self.transport, name, at, f"over {packet['transport']}")
        self.expect(packet["remote"] == self.relay, name, at, f"with {packet['remote']}, not the relay")
        _, what, fields, flag = frame(packet)
        to, source = fields["To-Path"].split(), fields["From-Path"].split()
        method = what.split()[0]
        self.seen[f"{way} {method}"] += 1
        if "Use-Path" in fields:
            self.seen["granted"] += 1
            self.expect(method == "200", name, at, "Use-Path in something that is no 200")
            granted[to[-1]] = fields["Use-Path"].split()
            by_websocket = self.transport in ("ws", "wss")
            self.expect(by_websocket == bool(re.fullmatch(r"msrps?://\w+\.invalid:2855/\w+;ws", to[-1])), name, at,
                        f"{to[-1]} is no URI of a client over {self.transport}")
        if method in ("SEND", "REPORT"):
            self.seen[f"{way} {method} +"] += flag == "+"
            if way == "sent":
                way_out = granted.get(source[0])
                self.expect(len(source) == 1 and way_out, name, at, f"From-Path {source} has no grant")
                self.expect(way_out and to[: len(way_out)] == way_out and len(to) > len(way_out), name, at,
                            f"To-Path {to} does not begin with what was granted")
            else:
                self.expect(len(to) == 1 and to[0] in granted, name, at, f"To-Path {to} is not one of ours")
                self.expect(source[0].startswith(self.authority) and len(source) > 1, name, at,
                            f"From-Path {source} does not come from the relay")
                hops = sum(uri.startswith(self.authority) for uri in source)
                self.seen[f"received {method} over {hops} relays"] += 1
        elif method == "200" and way == "sent":
            self.expect(len(to) == 1 and to[0].startswith(self.authority), name, at,
                        f"an answer to {to} is not to the relay alone")


def main():
    record, transport, relay, password, part = sys.argv[1:]
    text = Path(record).read_text()
    run = json.loads(text)
    check = Check(transport, relay)
    for case in run["cases"]:
        check.case(case)
        if case["verdict"] != "pass":
            check.wrong.append(f"{case['id']}: {case['verdict']}, not pass: {case.get('reason') or ''}")
    if Path(password).read_text().strip() in text:
        check.wrong.append("the password stands in the record")
    for needed in NEEDED[part]:
        if not check.seen[needed]:
            check.wrong.append(f"not once in the whole run: {needed}")
    shown = ", ".join(f"{what} {count}" for what, count in sorted(check.seen.items()) if count)
    print(f"{part}: {len(run['cases'])} cases over {transport}: {shown}")
    for line in check.wrong[:40]:
        print(f"relay: {line}", file=sys.stderr)
    sys.exit(1 if check.wrong else 0)


if __name__ == "__main__":
    main()
