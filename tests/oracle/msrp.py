"""MSRP, frame by frame: what imspec read beside what tshark reads.

Every frame of a trace that went over plain TCP is first found in the octets that the capture has of its
connection: all octets that the trace holds of it, in one place, each place once. Where the frame is all that a
segment holds, tshark reads it too, and the two must agree in method, status, transaction id, paths, Message-ID,
Byte-Range, reports, Status, Content-Type, flag and data. (Of a segment tshark reads the first frame, and what is
spread over several it often does not put together.) Then every frame that is on the wire must be in the trace.

Left out, and counted:
- what went over TLS, and steps that sent no octet before they ended their connection;
- the last frame of a connection that an agent closed before it came to write it; a few of them in a whole run;
- of what was found on the wire, fields of frames that are not alone in their segment or fill several, of frames that the scenario
  cut or spoilt so that they have no end, of frames whose body has a line like an end-line (tshark takes any such line
  for the end), and of chunks of message/cpim in which tshark gives up, for it looks for all of its header;
- of what only the wire has, the middle of very long messages, of which a trace keeps the first and the last
  chunks, and what nobody read because we had closed the connection or the case was over.
"""

import bisect
import collections
import hashlib
import itertools
import re

from capture import Flow, Unreadable, among, flow_of, header_value, packets, plain, segments, shown, FIN, RESET, UNREAD

# Our name of each header field that is compared -> tshark's.
HEADERS = {
    "to_path": "msrp.to.path",
    "from_path": "msrp.from.path",
    "message_id": "msrp.messageid",
    "byte_range": "msrp.byte.range",
    "success_report": "msrp.success.report",
    "failure_report": "msrp.failure.report",
    "report_status": "msrp.status",
    "content_type": "msrp.content.type",
}
FIELDS = ("method", "status", "transaction_id", *HEADERS, "flag", "body_length", "body_sha256")
TREES = ("msrp", "msrp.request.line", "msrp.response.line", "msrp.msg.hdr", "msrp.end.line")
# Chunks of one message, all in the trace, from which on others may be left out of it.
MANY = 32
# So many frames may have been noted by an agent whose connection was closed before it could write them.
CLOSED = 5

START = re.compile(rb"MSRP ([^ \r\n]+)[ \r\n]")
LIKE_AN_END = re.compile(rb"^-------", re.MULTILINE)


class Wire:
    """What the capture has of the connections that stand in the traces."""

    def __init__(self, capture, said):
        ours = {flow_of(line) for line in said if is_plain(line)}
        wanted = ours | {reverse(flow) for flow in ours}
        ports = {port for flow in ours for _, port in (flow.source, flow.destination)}
        # Flow -> its streams: addresses may come back.
        self.streams = collections.defaultdict(list)
        streams = {}
        for segment in segments(capture, ports):
            if segment.flow not in wanted:
                continue
            key = segment.flow, segment.stream
            if key not in streams:
                streams[key] = Stream()
                self.streams[segment.flow].append(streams[key])
            streams[key].take(segment)
        # Packet -> what tshark reads in it; packets in whose body it lost itself.
        self.read, self.lost = {}, set()
        if not ports:
            return
        for packet in packets(capture, f"msrp && {among(ports)}", "-j", " ".join(TREES)):
            number = int(packet.find("proto[@name='geninfo']/field[@name='num']").get("show"))
            if packet.find("proto[@name='_ws.malformed']") is not None:
                self.lost.add(number)
            self.read[number] = [read(frame) for frame in packet.findall("proto[@name='msrp']")]

    def __getitem__(self, flow):
        return self.streams.get(flow, [])


class Stream:
    """The octets of one connection in one direction, and which packet brought them."""

    def __init__(self):
        self.octets = bytearray()
        # (from, to, packet, time), in their order.
        self.pieces = []
        self.ends = []
        self.first = None
        # When it was closed from this end.
        self.over = None

    def take(self, segment):
        if self.first is None:
            self.first = segment.at
        if segment.flags & (FIN | RESET) and self.over is None:
            self.over = segment.time
        # Of a repetition only what is new.
        begin = len(self.octets)
        new = segment.octets[max(0, begin - (segment.at - self.first)):]
        if not new:
            return
        if segment.at - self.first > begin:
            raise Unreadable(f"octets before frame {segment.number} are not in the capture")
        self.octets += new
        self.pieces.append((begin, len(self.octets), segment.number, segment.time))
        self.ends.append(len(self.octets))

    def of(self, begin, end):
        """The pieces that hold some of these octets."""
        first = bisect.bisect_right(self.ends, begin)
        return self.pieces[first:bisect.bisect_left(self.ends, end) + 1]


class Frame:
    """A frame of a trace, and where on the wire it is."""

    def __init__(self, line):
        self.line = line
        self.case = line["case"]
        self.where = f"case {line['case']}, event {line['event']}"
        self.fields = {name: line.get(name) for name in FIELDS}
        for name in HEADERS:
            self.fields[name] = None if self.fields[name] is None else plain(self.fields[name])
        self.stream = self.begin = self.end = None

    def lies(self, stream, begin):
        """Whether what the trace has of it is there."""
        octets, end = stream.octets, begin + self.line["length"]
        if end > len(octets):
            return False
        gap = self.line["gap"]
        held = [octets[begin:end]]
        if gap:
            at = begin + gap["at"]
            held = [octets[begin:at], octets[at + gap["octets"]:end]]
        return hashlib.sha256(b"".join(held)).hexdigest() == self.line["held_sha256"]


class Comparison:
    protocol = "MSRP"

    def __init__(self, said, wire, last):
        """`last`: case -> time of its last message of SIP."""
        self.wire, self.last = wire, last
        self.counts = collections.Counter()
        self.faults = []
        self.pairs = []
        # Flow and direction -> frames: where both ends are agents of ours, a frame is in the trace twice.
        ours = collections.defaultdict(list)
        for line in said:
            if is_plain(line):
                flow, sent = flow_of(line), line["direction"] == "sent"
                ours[flow, sent].append(Frame(line))
                ours[reverse(flow), not sent]
            elif line.get("protocol") == "msrp":
                self.counts["tls"] += 1
        placed = {(flow, sent): self.place(flow, sent, ours[flow, sent]) for flow, sent in sorted(ours)}
        self.placed = sum(map(len, placed.values()))
        for (flow, _), frames in placed.items():
            for frame in frames:
                self.frame(flow, frame)
                time = frame.stream.of(frame.begin, frame.end)[-1][3]
                self.last[frame.case] = max(self.last[frame.case], time)
        # SENDs of messages of which the trace leaves some out, by flow and transaction: nor need it have what
        # was answered to them.
        self.passed = set()
        for (flow, _), frames in placed.items():
            many = chunks(frames)
            for frame in frames:
                if many[frame.fields["message_id"]] >= MANY:
                    self.passed.add((flow, frame.fields["transaction_id"]))
        for way in ("SEND", None):
            for (flow, sent), frames in placed.items():
                self.rest(flow, sent, frames, way)

    def summary(self):
        of = self.counts
        return (f"MSRP: {len(self.wire.streams)} flows, {self.placed} frames found on the wire, {len(self.pairs)} "
                f"of them compared, {of['fields']} fields present on both sides\n"
                f"  not compared: {of['shared']} share a segment, {of['spread']} fill several, {of['no end']} have no end, {of['like an end']} "
                f"have a line like an end-line in their body, "
                f"{of['cpim']} hold a piece of message/cpim; {of['tls']} went over TLS; {of['nothing']} are empty, "
                f"{of['closed']} were to go out when the connection had just been closed\n"
                f"  only on the wire: {of['long']} of messages in many chunks, {of['unread']} after we had "
                f"closed the connection, {of['late']} from after their case")

    def again(self, said):
        return Comparison(said, self.wire, self.last.copy())

    def changeable(self):
        """For each field a line of the record in which it can be changed."""
        for field in FIELDS:
            line = next((mine.line for mine in self.pairs if mine.fields[field] is not None), None)
            if line:
                yield field, line
        for mine in self.pairs[:1]:
            yield "held_sha256", mine.line

    # -------------------------------------------------------------------------------- where they are

    def place(self, flow, sent, frames):
        """Finds each frame in the octets of its flow; gives those that are there."""
        streams = self.wire[flow]
        starts = collections.defaultdict(list)
        for stream in streams:
            for start in START.finditer(stream.octets):
                starts[start[1].decode(errors="replace")].append((stream, start.start()))
        found, taken = [], set()
        for frame in frames:
            if frame.line["length"] == 0:
                self.counts["nothing"] += 1
                continue
            places = starts[frame.fields["transaction_id"]]
            if frame.fields["transaction_id"] is None:
                # It has no start line: it stands after what came before it, or where it can be found.
                places = itertools.chain(((last.stream, last.end) for last in found[-1:]),
                                         ((stream, at) for stream in streams for at in range(len(stream.octets))))
            for stream, at in places:
                if (id(stream), at) not in taken and frame.lies(stream, at):
                    taken.add((id(stream), at))
                    frame.stream, frame.begin, frame.end = stream, at, at + frame.line["length"]
                    found.append(frame)
                    break
            else:
                self.missing(flow, frame, sent and frame is frames[-1] and any(stream.over for stream in streams))
        return found

    def missing(self, flow, frame, may_be):
        """`may_be`: it is the last of ours, and the connection was closed before it could be written."""
        if may_be and self.counts["closed"] < CLOSED:
            self.counts["closed"] += 1
        else:
            self.faults.append(f"- {shown(flow)}: not on the wire ({frame.where}): {brief(frame.fields)}")

    # ------------------------------------------------------------------------------- what they say

    def frame(self, flow, mine):
        pieces = mine.stream.of(mine.begin, mine.end)
        if mine.fields["flag"] is None:
            self.counts["no end"] += 1
        elif len(pieces) > 1:
            self.counts["spread"] += 1
        elif pieces[0][:2] != (mine.begin, mine.end):
            self.counts["shared"] += 1
        elif len(LIKE_AN_END.findall(mine.stream.octets[mine.begin:mine.end])) > 1:
            self.counts["like an end"] += 1
        elif pieces[0][2] in self.wire.lost and (mine.fields["content_type"] or "").lower().startswith("message/cpim"):
            self.counts["cpim"] += 1
        else:
            self.pairs.append(mine)
            self.agree(flow, mine, pieces[0])

    def agree(self, flow, mine, piece):
        theirs = self.wire.read.get(piece[2], [])
        where = f"- {shown(flow)}: {mine.where}; frame {piece[2]} at {piece[3]}"
        if len(theirs) != 1:
            self.faults.append(f"{where}: tshark finds {len(theirs)} frames: {brief(mine.fields)}")
            return
        differing = []
        for name in FIELDS:
            own, other = mine.fields[name], theirs[0][name]
            if name == "body_sha256" and own is None and mine.line["gap"]:
                continue
            self.counts["fields"] += own is not None
            if own != other:
                differing.append(f"    {name}: imspec {own!r}, tshark {other!r}")
        if differing:
            self.faults.append("\n".join([where, *differing]))

    # -------------------------------------------------------------------- what only the wire has

    def rest(self, flow, sent, frames, way):
        """Accounts for the frames of a flow that are not in the trace: SENDs, or (None) all others."""
        ours = chunks(frames)
        case = frames[-1].case if frames else None
        for at, stream in enumerate(self.wire[flow]):
            back = self.wire[reverse(flow)]
            closed = back[at].over if at < len(back) else None
            held = sorted((frame.begin, frame.end) for frame in frames if frame.stream is stream)
            # What came before something that was read was read too.
            known = max((end for _, end in held), default=0)
            for begin, end in gaps(held, len(stream.octets)):
                for theirs in cut(stream.octets, begin, end):
                    is_send = theirs["method"] == "SEND"
                    if is_send != (way == "SEND"):
                        continue
                    time = stream.of(theirs["begin"], theirs["end"])[-1][3]
                    if is_send and ours[theirs["message_id"]] >= MANY:
                        self.passed.add((flow, theirs["transaction_id"]))
                        self.counts["long"] += 1
                    elif theirs["status"] and (reverse(flow), theirs["transaction_id"]) in self.passed:
                        self.counts["long"] += 1
                    elif not sent and begin >= known and closed is not None and time > closed - UNREAD:
                        self.counts["unread"] += 1
                    elif not sent and begin >= known and case is not None and time > self.last[case] - UNREAD:
                        self.counts["late"] += 1
                    else:
                        self.faults.append(f"- {shown(flow)}: only on the wire (at {time}; case {case}, last seen at "
                                           f"{self.last[case]}, closed at {closed}): {brief(theirs)}")


def chunks(frames):
    """Message-ID -> how many SENDs there are of it."""
    return collections.Counter(frame.fields["message_id"] for frame in frames if frame.fields["method"] == "SEND")


def gaps(held, length):
    """What lies between ranges."""
    at = 0
    for begin, end in held:
        if begin > at:
            yield at, begin
        at = max(at, end)
    if length > at:
        yield at, length


def cut(octets, begin, end):
    """The frames in a part of a stream, each from its start line to the end-line with its transaction id."""
    while begin < end:
        start = START.match(octets, begin, end)
        to = end
        if start:
            mark = b"\r\n-------" + start[1]
            at = octets.find(mark, begin, end)
            while at >= 0 and octets[at + len(mark):at + len(mark) + 3] not in (b"$\r\n", b"+\r\n", b"#\r\n"):
                at = octets.find(mark, at + 1, end)
            to = end if at < 0 else at + len(mark) + 3
        head = bytes(octets[begin:to]).partition(b"\r\n\r\n")[0].decode(errors="replace")
        line, *headers = head.split("\r\n")
        what = line.split(" ")[2] if start and line.count(" ") > 1 else None
        status = what if what and what.isdigit() else None
        ids = (header[11:].strip() for header in headers if header.lower().startswith("message-id:"))
        yield {"begin": begin, "end": to, "method": None if status else what, "status": status,
               "transaction_id": start[1].decode(errors="replace") if start else None, "message_id": next(ids, None)}
        begin = to


def read(frame):
    """The fields that tshark gives to a frame."""
    fields = dict.fromkeys(FIELDS)
    head = frame.find("field[@name='msrp.msg.hdr']")
    first = frame.find("field[@name='msrp.request.line']")
    if first is None:
        first = frame.find("field[@name='msrp.response.line']")
    ending, data = frame.find("field[@name='msrp.end.line']"), frame.find("field[@name='msrp.data']")

    def inside(tree, name):
        found = tree.find(f"field[@name='{name}']") if tree is not None else None
        return None if found is None else found.get("show")

    fields["method"] = inside(first, "msrp.method")
    status = inside(first, "msrp.status.code")
    fields["status"] = None if status is None else int(status)
    # It stands at both ends of a frame.
    ids = {inside(first, "msrp.transaction.id"), inside(ending, "msrp.transaction.id")}
    fields["transaction_id"] = ids.pop() if len(ids) == 1 else sorted(map(str, ids))
    fields["flag"] = inside(ending, "msrp.cnt.flg")
    for name, theirs in HEADERS.items():
        found = head.find(f"field[@name='{theirs}']") if head is not None else None
        fields[name] = None if found is None else header_value(found)
    if data is not None and ending is not None:
        # As tshark has it, the data go on to the end of the segment. The line break before the end-line is not data.
        length = int(ending.get("pos")) - int(data.get("pos")) - 2
        body = bytes.fromhex(data.get("value"))[:length]
        fields["body_length"], fields["body_sha256"] = len(body), hashlib.sha256(body).hexdigest()
    return fields


def is_plain(line):
    return line.get("protocol") == "msrp" and line["transport"] == "tcp"


def reverse(flow):
    return Flow(flow.transport, flow.destination, flow.source)


def brief(fields):
    what = fields["method"] or fields["status"] or "no frame"
    return f"{what}, transaction {fields['transaction_id']}, Message-ID {fields['message_id']}"
