"""Session descriptions of the peer server (RFC 8866), as far as message sessions need them."""

import random
import re

from catalogue import on


class Media:
    def __init__(self, line, place):
        words = line.split(" ")
        if len(words) < 4 or not re.fullmatch(r"\d+(/\d+)?", words[1]):
            raise ValueError(f"no media line: {line!r}")
        self.kind, self.port, self.protocol, self.formats = words[0], int(words[1].split("/")[0]), words[2], words[3:]
        self.place, self.address, self.lines = place, None, []

    def get(self, name):
        for key, value in self.lines:
            if key.lower() == name:
                return value
        return None

    def direction(self, session):
        for lines in (self.lines, session):
            for key, _ in lines:
                if key.lower() in ("sendrecv", "sendonly", "recvonly", "inactive"):
                    return key.lower()
        return "sendrecv"

    def path(self):
        return (self.get("path") or "").split()

    def takes(self, kind):
        """Whether `accept-types` has a media type (RFC 4975 §8.6)."""
        return matches(self.get("accept-types") or "*", kind)

    def unwraps(self, kind):
        return self.takes("message/cpim") and (self.takes(kind) or matches(self.get("accept-wrapped-types") or "", kind))


def matches(types, kind):
    kind = kind.split(";")[0].strip().lower()
    for entry in types.lower().split():
        entry = entry.split(";")[0]
        if entry in ("*", kind) or entry.endswith("/*") and kind.startswith(entry[:-1]):
            return True
    return False


def read(octets):
    """Attributes of the session and its media."""
    text = octets.decode("utf-8", "replace")
    lines = [line for line in re.split(r"\r?\n", text) if line]
    if not lines or lines[0] != "v=0" or not any(line.startswith("o=") for line in lines):
        raise ValueError("no session description")
    session, media, address, subject = [], [], None, None
    for line in lines:
        if not re.match(r"[a-z]=", line):
            raise ValueError(f"no line of a session description: {line!r}")
        kind, value = line[0], line[2:]
        if kind == "m":
            media.append(Media(value, len(media)))
        elif kind == "c":
            words = value.split(" ")
            if len(words) != 3:
                raise ValueError("no address")
            if media:
                media[-1].address = words[2]
            else:
                address = words[2]
        elif kind == "a":
            key, colon, rest = value.partition(":")
            (media[-1].lines if media else session).append((key, rest if colon else None))
        elif kind == "s":
            subject = value
    for one in media:
        one.address = one.address or address
    return session, media, subject


def attributes(values):
    """Attribute lines; their order has no meaning."""
    lines = [f"a={key}" if value is None else f"a={key}:{value}" for key, value in values if value is not False]
    if on("sdp-shuffled"):
        random.shuffle(lines)
    return lines


def write(port, values, others=(), place=0):
    """A description with one message line among lines that are refused."""
    number = random.randrange(10 ** 9)
    lines = ["v=0", f"o=store {number} {number} IN IP4 127.0.0.1", "s=-" if not on("sdp-shuffled") else "s= "]
    if on("sdp-shuffled"):
        lines += ["i=what was left for you", "b=AS:64"]
    lines += ["c=IN IP4 127.0.0.1", "t=0 0"]
    refused = [] if on("answer-drops-lines") else [
        f"m={m.kind} 0 {m.protocol} {' '.join(m.formats)}" for m in others]
    message = [f"m=message {port} TCP/MSRP *", *attributes(values)]
    if on("answer-line-other-place"):
        place = len(refused) - place
    lines += refused[:place] + message + refused[place:]
    return "\r\n".join(lines + [""]).encode()
