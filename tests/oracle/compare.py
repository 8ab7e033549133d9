#!/usr/bin/env python3
"""Holds the fields that imspec read from its messages against those that tshark reads from the wire.

    compare.py CAPTURE.pcap FIELDS.jsonl

FIELDS.jsonl comes from `imspec wire --fields run.json`: one line for each message in the traces of a run.
CAPTURE.pcap was taken on the loopback interface while that run took place. For every flow (transport,
source, destination) the messages of the one must be those of the other, and agree in method, status,
Call-ID, CSeq, Expires, Subject, Date, Content-Type and length of the body.

tshark is asked for what it is good at: where a message begins and ends, which header field is which, and
which octets are its value. It is not asked whether a message is right.

Left out, and counted:
- what a `raw` step sent: it is malformed on purpose. Over UDP that one datagram, over TCP all that the
  same connection carried to the server, because a stream that was broken on purpose has no borders;
- at the end of a flow, retransmissions that nobody read any more, and what came after the last message of the
  case, or so shortly before it that it lay unread when the case was over. Whatever else only the wire has is
  a disagreement.

Nothing here is shared with imspec: Python's standard library and tshark.
Exit status: 0 they agree, 1 they do not, 2 the comparison could not be made.
"""

import collections
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

FIELDS = ("method", "status", "call_id", "cseq", "expires", "subject", "date", "content_type", "body_length")
# tshark's name of each header field that is compared.
HEADERS = {
    "sip.Call-ID": "call_id",
    "sip.CSeq": "cseq",
    "sip.Expires": "expires",
    "sip.Subject": "subject",
    "sip.Date": "date",
    "sip.Content-Type": "content_type",
}
MOST_SHOWN = 20
# A message may lie unread in a socket for so many seconds before the last one of its case.
UNREAD = 0.05

Flow = collections.namedtuple("Flow", "transport source destination")


class Message:
    """One message: where it was seen, and its fields."""

    def __init__(self, where, fields, raw=False, length=None, case=None, time=None):
        self.where = where
        self.fields = fields
        self.case = case
        self.time = time
        self.raw = raw
        self.length = length
        self.key = tuple(fields.get(name) for name in FIELDS)


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    capture, fields = sys.argv[1:]
    ours, servers = read_ours(fields)
    if not any(ours.values()):
        print(f"oracle: {fields} holds no message", file=sys.stderr)
        return 2
    wire = read_wire(capture, servers, ours.keys())
    return Comparison(ours, wire).report()


# ------------------------------------------------------------------------------------------ both sides


def read_ours(path):
    """Messages of the traces by flow, and the server's ports as (transport, port)."""
    flows = collections.defaultdict(list)
    servers = set()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            said = json.loads(line)
            if said.get("protocol", "sip") != "sip":
                continue
            local, remote = address(said["local"]), address(said["remote"])
            sent = said["direction"] == "sent"
            flow = Flow(said["transport"], *((local, remote) if sent else (remote, local)))
            servers.add((said["transport"], remote[1]))
            fields = {name: said.get(name) for name in FIELDS}
            for name in HEADERS.values():
                fields[name] = None if fields[name] is None else plain(fields[name])
            raw = said.get("verb") == "raw" and sent
            where = f"case {said['case']}, event {said['event']}"
            if fields["call_id"] is None and fields["method"] is None and fields["status"] is None and not raw:
                fields["unread"] = True
            flows[flow].append(Message(where, fields, raw, said["length"], case=said["case"]))
    return flows, servers


def read_wire(capture, servers, wanted):
    """Messages that tshark finds in the flows that are wanted, in the order of the capture."""
    command = ["tshark", "-n", "-r", capture, "-Y", "sip", "-T", "pdml", "-J", "frame ip ipv6 udp tcp sip",
               "-o", "tcp.reassemble_out_of_order:TRUE"]
    for transport, port in sorted(servers):
        command += ["-d", f"{transport}.port=={port},sip"]
    flows = collections.defaultdict(list)
    tshark = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False)
    try:
        for _, packet in xml.iterparse(tshark.stdout):
            if packet.tag != "packet":
                continue
            flow, frame = endpoints(packet)
            if flow in wanted:
                for sip in packet.findall("proto[@name='sip']"):
                    flows[flow].append(wire_message(packet, sip, flow, frame))
            packet.clear()
    except xml.ParseError as why:
        print(f"oracle: tshark's output ends early: {why}", file=sys.stderr)
    if tshark.wait() != 0:
        sys.exit(f"oracle: tshark failed: {tshark.stderr.read().decode(errors='replace')}")
    return flows


def endpoints(packet):
    network = packet.find("proto[@name='ip']")
    version = "ip"
    if network is None:
        network, version = packet.find("proto[@name='ipv6']"), "ipv6"
    for transport in ("udp", "tcp"):
        layer = packet.find(f"proto[@name='{transport}']")
        if network is None or layer is None:
            continue
        show = lambda proto, name: proto.find(f".//field[@name='{name}']").get("show")
        source = (show(network, f"{version}.src"), int(show(layer, f"{transport}.srcport")))
        destination = (show(network, f"{version}.dst"), int(show(layer, f"{transport}.dstport")))
        frame = packet.find("proto[@name='frame']")
        frame = int(show(frame, "frame.number")), show(frame, "frame.time_epoch")
        return Flow(transport, source, destination), frame
    return None, None


def wire_message(packet, sip, flow, frame):
    fields = dict.fromkeys(FIELDS)
    first = sip.find("field")
    for name, key in (("sip.Method", "method"), ("sip.Status-Code", "status")):
        found = first.find(f"field[@name='{name}']") if first is not None else None
        if found is not None:
            fields[key] = int(found.get("show")) if key == "status" else found.get("show")
    block = sip.find("field[@name='sip.msg_hdr']")
    for field in block if block is not None else ():
        key = HEADERS.get(field.get("name"))
        # The first of several, as imspec gives it; "value" holds the octets of the whole header field.
        if key and fields[key] is None:
            line = bytes.fromhex(field.get("value", "")).decode("utf-8", errors="replace")
            fields[key] = plain(line.partition(":")[2])
    if block is not None:
        # By where the message and its header end: a body with Content-Encoding is shown decoded.
        fields["body_length"] = end(sip) - end(block)
    length = None
    if flow.transport == "udp":
        length = int(packet.find("proto[@name='udp']//field[@name='udp.length']").get("show")) - 8
    return Message(f"frame {frame[0]} at {frame[1]}", fields, length=length, time=float(frame[1]))


def end(item):
    return int(item.get("pos")) + int(item.get("size"))


def address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def plain(value):
    """A header value without folding and without the white space around it (RFC 3261 7.3.1)."""
    return re.sub(r"[ \t]*\r?\n[ \t]+", " ", value).strip(" \t\r\n")


# ------------------------------------------------------------------------------------------ comparison


class Comparison:
    def __init__(self, ours, wire):
        self.ours, self.wire = ours, wire
        self.counts = collections.Counter()
        self.faults = []
        # Case -> time of its last message that a trace holds; what only the wire has, with flow and case.
        self.last = collections.defaultdict(float)
        self.extra = []

    def report(self):
        for flow in sorted(self.ours):
            self.flow(flow, self.ours[flow], self.wire.get(flow, []))
        for flow, case, message in self.extra:
            known = any(message.key == mine.key for mine in self.ours[flow])
            if known or message.time > self.last[case] - UNREAD:
                self.counts["copies" if known else "late"] += 1
            else:
                self.faults.append(described(flow, None, message))
        print(f"{self.counts['flows']} flows, {self.counts['messages']} messages compared, "
              f"{self.counts['fields']} fields present on both sides")
        print(f"left out: {self.counts['raw']} sent by raw steps, {self.counts['beside raw']} on the same TCP "
              f"connections, {self.counts['copies']} unread retransmissions, {self.counts['late']} from after their case")
        for fault in self.faults[:MOST_SHOWN]:
            print(fault)
        if len(self.faults) > MOST_SHOWN:
            print(f"… and {len(self.faults) - MOST_SHOWN} more")
        if self.faults:
            print(f"oracle: tshark and imspec disagree, {len(self.faults)} times")
            return 1
        if not self.counts["messages"]:
            print("oracle: nothing was compared", file=sys.stderr)
            return 2
        print("oracle: tshark and imspec agree")
        return 0

    def flow(self, flow, ours, wire):
        self.counts["flows"] += 1
        raw = [message for message in ours if message.raw]
        if raw and flow.transport == "tcp":
            self.counts["raw"] += len(raw)
            self.counts["beside raw"] += len(ours) - len(raw)
            return
        if raw:
            self.counts["raw"] += len(raw)
            ours = [message for message in ours if not message.raw]
            wire = without(wire, raw, ours)
        if [message.key for message in ours] == [message.key for message in wire[:len(ours)]]:
            pairs = list(zip(ours, wire))
            rest = wire[len(ours):]
        else:
            pairs, rest = self.matched(flow, ours, wire)
        for mine, theirs in pairs:
            self.counts["messages"] += 1
            self.counts["fields"] += sum(value is not None for value in mine.key)
            self.last[mine.case] = max(self.last[mine.case], theirs.time)
        if ours:
            self.extra.extend((flow, ours[-1].case, message) for message in rest)

    def matched(self, flow, ours, wire):
        """Pairs of equal messages where the order differs; what stays alone is a fault."""
        waiting = collections.defaultdict(list)
        for at, message in enumerate(wire):
            waiting[message.key].append(at)
        pairs, alone, taken = [], [], set()
        for message in ours:
            places = waiting[message.key]
            if places:
                at = places.pop(0)
                taken.add(at)
                pairs.append((message, wire[at]))
            else:
                alone.append(message)
        last = max(taken, default=-1)
        strangers = [message for at, message in enumerate(wire) if at not in taken and at < last]
        rest = [message for at, message in enumerate(wire) if at not in taken and at > last]
        for message in alone:
            other = closest(message, strangers) or closest(message, rest)
            self.faults.append(described(flow, message, other))
            for others in (strangers, rest):
                if other in others:
                    others.remove(other)
        self.faults.extend(described(flow, None, message) for message in strangers)
        return pairs, rest


def without(wire, raw, ours):
    """The datagrams of a flow without those of raw steps: told by their length, unless one of ours fits."""
    lengths = collections.Counter(message.length for message in raw)
    keys = collections.Counter(message.key for message in ours)
    kept = []
    for message in wire:
        if keys[message.key] > 0:
            keys[message.key] -= 1
            kept.append(message)
        elif lengths[message.length] > 0:
            lengths[message.length] -= 1
        else:
            kept.append(message)
    return kept


def closest(message, others):
    def likeness(other):
        return sum(a == b for a, b in zip(message.key, other.key))

    best = max(others, key=likeness, default=None)
    same_call = best is not None and message.fields["call_id"] == best.fields["call_id"]
    return best if same_call or (best is not None and likeness(best) >= len(FIELDS) - 1) else None


def described(flow, mine, theirs):
    shown = f"{flow.transport} {flow.source[0]}:{flow.source[1]} -> {flow.destination[0]}:{flow.destination[1]}"
    if mine is None:
        return f"- {shown}: only on the wire ({theirs.where}): {brief(theirs)}"
    if theirs is None:
        return f"- {shown}: not on the wire ({mine.where}): {brief(mine)}"
    lines = [f"- {shown}: {mine.where}; {theirs.where}"]
    for name in FIELDS:
        if mine.fields.get(name) != theirs.fields.get(name):
            lines.append(f"    {name}: imspec {mine.fields.get(name)!r}, tshark {theirs.fields.get(name)!r}")
    return "\n".join(lines)


def brief(message):
    fields = message.fields
    return f"{fields['method'] or fields['status']}, Call-ID {fields['call_id']}, CSeq {fields['cseq']}"


if __name__ == "__main__":
    sys.exit(main())
