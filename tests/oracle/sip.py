"""SIP, message by message: what imspec read beside what tshark reads.

For every flow (transport, source, destination) the messages of the one must be those of the other, and agree
in method, status, Call-ID, CSeq, Expires, Subject, Date, Content-Type and length of the body.

Left out, and counted:
- what a `raw` step sent: it is malformed on purpose. Over UDP that one datagram, over TCP all that the
  same connection carried to the server, because a stream that was broken on purpose has no borders;
- at the end of a flow, or of the use that a case made of it, retransmissions that nobody read any more, and what came after the last message of the
  case, or so shortly before it that it lay unread when the case was over. Whatever else only the wire has is
  a disagreement.
"""

import collections

from capture import flow_of, header_value, packets, plain, shown, Flow, UNREAD

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


class Message:
    """One message: where it was seen, and its fields."""

    def __init__(self, where, fields, raw=False, length=None, case=None, time=None, line=None):
        self.line = line
        self.where = where
        self.fields = fields
        self.case = case
        self.time = time
        self.raw = raw
        self.length = length
        self.key = tuple(fields.get(name) for name in FIELDS)


# ------------------------------------------------------------------------------------------ both sides


def read_ours(said):
    """Messages of the traces by flow and direction: where both ends are agents of ours, each has a message."""
    flows = collections.defaultdict(list)
    for line in said:
        if line.get("protocol", "sip") != "sip":
            continue
        fields = {name: line.get(name) for name in FIELDS}
        for name in HEADERS.values():
            fields[name] = None if fields[name] is None else plain(fields[name])
        raw = line.get("verb") == "raw" and line["direction"] == "sent"
        where = f"case {line['case']}, event {line['event']}"
        message = Message(where, fields, raw, line["length"], case=line["case"], line=line)
        flows[flow_of(line), line["direction"]].append(message)
    return flows


class Wire:
    """Messages that tshark finds in the flows of the traces, in the order of the capture."""

    def __init__(self, capture, said):
        ours = [line for line in said if line.get("protocol", "sip") == "sip"]
        wanted = {flow_of(line) for line in ours}
        servers = {(line["transport"], int(line["remote"].rpartition(":")[2])) for line in ours}
        options = ["-J", "frame ip ipv6 udp tcp sip"]
        for transport, port in sorted(servers):
            options += ["-d", f"{transport}.port=={port},sip"]
        self.flows = collections.defaultdict(list)
        for packet in packets(capture, "sip", *options):
            flow, frame = endpoints(packet)
            if flow in wanted:
                for sip in packet.findall("proto[@name='sip']"):
                    self.flows[flow].append(wire_message(packet, sip, flow, frame))


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
            fields[key] = header_value(field)
    if block is not None:
        # By where the message and its header end: a body with Content-Encoding is shown decoded.
        fields["body_length"] = end(sip) - end(block)
    length = None
    if flow.transport == "udp":
        length = int(packet.find("proto[@name='udp']//field[@name='udp.length']").get("show")) - 8
    return Message(f"frame {frame[0]} at {frame[1]}", fields, length=length, time=float(frame[1]))


def end(item):
    return int(item.get("pos")) + int(item.get("size"))


# ------------------------------------------------------------------------------------------ comparison


class Comparison:
    protocol = "SIP"

    def __init__(self, said, wire, last):
        """`last`: case -> time of its last message that a trace holds; it is filled here."""
        self.ours, self.wire, self.last = read_ours(said), wire, last
        self.counts = collections.Counter()
        self.faults = []
        self.pairs = []
        # What only the wire has, with its flow and what the trace has of that.
        self.extra = []
        for flow, direction in sorted(self.ours):
            self.flow(flow, self.ours[flow, direction], wire.flows.get(flow, []))
        for flow, ours, message in self.extra:
            known = any(message.key == mine.key for mine in ours)
            case = ours[-1].case
            if known or message.time > self.last[case] - UNREAD:
                self.counts["copies" if known else "late"] += 1
            else:
                self.faults.append(described(flow, None, message))

    def summary(self):
        return (f"SIP: {self.counts['flows']} flows, {len(self.pairs)} messages compared, "
                f"{self.counts['fields']} fields present on both sides\n"
                f"  left out: {self.counts['raw']} sent by raw steps, {self.counts['beside raw']} on the same TCP "
                f"connections, {self.counts['copies']} unread retransmissions, {self.counts['late']} from after "
                "their case")

    def again(self, said):
        return Comparison(said, self.wire, self.last.copy())

    def changeable(self):
        """For each field a line of the record in which it can be changed."""
        for field in FIELDS:
            line = next((mine.line for mine, _ in self.pairs if mine.fields[field] is not None), None)
            if line:
                yield field, line

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
            self.pairs.append((mine, theirs))
            self.counts["fields"] += sum(value is not None for value in mine.key)
            self.last[mine.case] = max(self.last[mine.case], theirs.time)
        if ours:
            self.extra.extend((flow, ours, message) for message in rest)

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
        left = self.left_between_cases(flow, ours, wire, pairs)
        strangers = [message for at, message in enumerate(wire)
                     if at not in taken and at < last and message not in left]
        rest = [message for at, message in enumerate(wire) if at not in taken and at > last]
        for message in alone:
            other = closest(message, strangers) or closest(message, rest)
            self.faults.append(described(flow, message, other))
            for others in (strangers, rest):
                if other in others:
                    others.remove(other)
        self.faults.extend(described(flow, None, message) for message in strangers)
        return pairs, rest


    def left_between_cases(self, flow, ours, wire, pairs):
        """A case may get the port that another one had before it: what that one did not read any more stands
        between the messages of the two."""
        case_of = {id(theirs): mine.case for mine, theirs in pairs}
        left, since, case = [], [], None
        for message in wire:
            next_case = case_of.get(id(message))
            if next_case is None:
                since.append(message)
                continue
            if case not in (None, next_case):
                left.extend(since)
                own = [mine for mine in ours if mine.case == case]
                self.extra.extend((flow, own, late) for late in since)
            since, case = [], next_case
        return left


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
    if mine is None:
        return f"- {shown(flow)}: only on the wire ({theirs.where}): {brief(theirs)}"
    if theirs is None:
        return f"- {shown(flow)}: not on the wire ({mine.where}): {brief(mine)}"
    lines = [f"- {shown(flow)}: {mine.where}; {theirs.where}"]
    for name in FIELDS:
        if mine.fields.get(name) != theirs.fields.get(name):
            lines.append(f"    {name}: imspec {mine.fields.get(name)!r}, tshark {theirs.fields.get(name)!r}")
    return "\n".join(lines)


def brief(message):
    fields = message.fields
    return f"{fields['method'] or fields['status']}, Call-ID {fields['call_id']}, CSeq {fields['cseq']}"

