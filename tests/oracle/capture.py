"""What tshark reads from a capture: the packets of a protocol as trees, and the segments of TCP as octets."""

import collections
import re
import subprocess
import threading
import xml.etree.ElementTree as xml

Flow = collections.namedtuple("Flow", "transport source destination")

FIN, RESET = 0x01, 0x04
# On a busy machine the last messages of a flow may lie unread in a socket for so many seconds before the case is
# over, or the connection closed.
UNREAD = 0.5


class Unreadable(Exception):
    """tshark could not read the capture, or not all of it."""


class Segment:
    """One segment of TCP that carries octets, or the end of a stream."""

    def __init__(self, number, time, stream, flow, at, flags, octets):
        self.number, self.time, self.stream, self.flow = number, time, stream, flow
        self.at, self.flags, self.octets = at, flags, octets


def packets(capture, display, *options):
    """The packets that a display filter takes, each as the tree that tshark makes of it."""
    lines = _Running(capture, "-Y", display, "-T", "pdml", "-o", "tcp.reassemble_out_of_order:TRUE", *options)
    try:
        for _, item in xml.iterparse(lines.stdout):
            if item.tag == "packet":
                yield item
                item.clear()
    except xml.ParseError as why:
        lines.over()
        raise Unreadable(f"tshark's output ends early: {why}") from why
    lines.over()


def segments(capture, ports):
    """The segments from or to these ports, in the order of the capture."""
    if not ports:
        return
    names = ("frame.number", "frame.time_epoch", "tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst",
             "ipv6.dst", "tcp.dstport", "tcp.seq", "tcp.flags", "tcp.len", "tcp.payload")
    wanted = f"{among(ports)} && (tcp.len > 0 || tcp.flags.fin == 1 || tcp.flags.reset == 1)"
    lines = _Running(capture, "-Y", wanted, "-T", "fields", *(part for name in names for part in ("-e", name)))
    for line in lines.stdout:
        (number, time, stream, source4, source6, source, destination4, destination6, destination, at, flags,
         length, octets) = line.decode().rstrip("\n").split("\t")
        flow = Flow("tcp", (source4 or source6, int(source)), (destination4 or destination6, int(destination)))
        octets = bytes.fromhex(octets)
        if len(octets) != int(length):
            raise Unreadable(f"frame {number} has {length} octets, and tshark shows {len(octets)}")
        yield Segment(int(number), float(time), int(stream), flow, int(at), int(flags, 16), octets)
    lines.over()


def among(ports):
    return f"tcp.port in {{{', '.join(map(str, sorted(ports)))}}}"


class _Running:
    """tshark, and what it says."""

    def __init__(self, capture, *options):
        # Frames begin with their protocol's name, while any port may be one that another protocol once had.
        command = ["tshark", "-n", "-r", capture, "-o", "tcp.try_heuristic_first:TRUE", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.stdout = self.process.stdout
        self.said = []
        # It would wait for ever for somebody to read what it complains about.
        self.listener = threading.Thread(target=lambda: self.said.append(self.process.stderr.read()))
        self.listener.start()

    def over(self):
        self.stdout.close()
        status = self.process.wait()
        self.listener.join()
        if status != 0:
            raise Unreadable(f"tshark failed: {b''.join(self.said).decode(errors='replace')}")


def address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def flow_of(said):
    """Which way a message of a trace went."""
    local, remote = address(said["local"]), address(said["remote"])
    return Flow(said["transport"], *((local, remote) if said["direction"] == "sent" else (remote, local)))


def header_value(field):
    """The value of a header field, from the octets of all of it."""
    line = bytes.fromhex(field.get("value", "")).decode("utf-8", errors="replace")
    return plain(line.partition(":")[2])


def plain(value):
    """A header value without folding and without the white space around it (RFC 3261 7.3.1)."""
    return re.sub(r"[ \t]*\r?\n[ \t]+", " ", value).strip(" \t\r\n")


def shown(flow):
    return f"{flow.transport} {flow.source[0]}:{flow.source[1]} -> {flow.destination[0]}:{flow.destination[1]}"
