"""SIP messages of the peer server: reading them, writing them in one of many styles, addresses and dates."""

import re
import urllib.parse
from datetime import datetime, timezone

from catalogue import on

COMPACT = {"a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "e": "Content-Encoding",
           "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported", "l": "Content-Length",
           "m": "Contact", "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events",
           "v": "Via", "x": "Session-Expires", "y": "Identity"}
SHORT = {long.lower(): short for short, long in COMPACT.items()}
KNOWN = {name.lower(): name for name in (
    *COMPACT.values(), "Accept", "Alert-Info", "Allow", "Authorization", "CSeq", "Call-Info",
    "Content-Disposition", "Content-Language", "Date", "Expires", "In-Reply-To", "Max-Forwards",
    "MIME-Version", "Organization", "P-Asserted-Identity", "P-Preferred-Identity", "Priority", "Privacy",
    "Proxy-Authorization", "Proxy-Require", "Record-Route", "Reply-To", "Require", "Route", "Server",
    "Timestamp", "User-Agent", "Warning")}
# Header fields whose values may not be joined or split at commas (RFC 3261 §7.3.1 and their grammar).
SINGLE = {"authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "date", "subject",
          "from", "to", "call-id", "cseq", "expires", "organization", "priority", "server", "user-agent",
          "timestamp", "content-type", "content-disposition", "content-length", "max-forwards",
          "mime-version", "reply-to"}
KEEPING_HOP = ("keeps-hop", "via-kept", "max-forwards-kept", "credentials-kept")
HOP = {"via", "route", "record-route", "max-forwards", "proxy-require", "proxy-authorization",
       "authorization", "content-length"}


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status, *headers):
        super().__init__(status)
        self.status, self.headers = status, headers


def canonical(name):
    """The usual spelling of a header name."""
    name = COMPACT.get(name.lower(), name)
    return KNOWN.get(name.lower(), name)


def unfold(value):
    """A value on one line (RFC 3261 §7.3.1)."""
    if on("unfold-joins"):
        return re.sub(r"[ \t]*\r\n[ \t]+", "", value).strip(" \t")
    return re.sub(r"[ \t]*\r\n[ \t]+", " ", value).strip(" \t")


def split_list(value):
    """The members of a comma list; commas in quotes and angle brackets do not separate."""
    parts, part, quoted, angle, skip = [], "", False, False, False
    for c in value:
        if skip:
            skip = False
        elif quoted and c == "\\":
            skip = True
        elif c == '"':
            quoted = not quoted
        elif not quoted and c in "<>":
            angle = c == "<"
        elif c == "," and not quoted and not angle:
            parts.append(part.strip())
            part = ""
            continue
        part += c
    return parts + [part.strip()]


def split_params(text):
    """`;a=b;c` as a list of pairs."""
    pairs, part, quoted, skip = [], "", False, False
    for c in text + ";":
        if skip:
            skip = False
        elif quoted and c == "\\":
            skip = True
        elif c == '"':
            quoted = not quoted
        elif c == ";" and not quoted:
            if part.strip():
                key, eq, value = part.partition("=")
                pairs.append((key.strip(), value.strip() if eq else None))
            part = ""
            continue
        part += c
    return pairs


def write_params(pairs):
    return "".join(f";{key}" if value is None else f";{key}={value}" for key, value in pairs)


def address(value):
    """Display name as written, URI and parameters of From, To or Contact."""
    match = re.match(r'\s*((?:"(?:[^"\\]|\\.)*"|[^"<])*?)\s*<([^>]*)>(.*)$', value, re.S)
    if match:
        return match[1].strip(), match[2].strip(), split_params(match[3])
    uri, semi, rest = value.partition(";")
    return "", uri.strip(), split_params(semi + rest)


class Sip:
    """A SIP message; text is Latin-1, so that every octet stays what it is."""

    def __init__(self, start, headers, body=b""):
        self.start, self.headers, self.body = start, headers, body

    @classmethod
    def parse(cls, octets, datagram):
        head, end, body = octets.lstrip(b"\r\n").partition(b"\r\n\r\n")
        if not end:
            raise ValueError("no end of the header")
        lines = re.split(r"\r\n(?![ \t])", head.decode("latin-1"))
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not re.fullmatch(r"[\w.!%*+`'~-]+[ \t]*", name):
                raise ValueError(f"no header: {line!r}")
            headers.append((name.rstrip(" \t"), value[1:] if value[:1] == " " else value))
        message = cls(lines[0], headers, body)
        length = message.get("Content-Length")
        if length is not None:
            if not length.isdecimal() or int(length) > len(body):
                message.broken = True
            elif datagram:
                message.body = body[:int(length)]
        return message

    broken = False

    def fields(self, name):
        return [value for key, value in self.headers if canonical(key).lower() == name.lower()]

    def get(self, name):
        fields = self.fields(name)
        return unfold(fields[0]) if fields else None

    @property
    def method(self):
        return self.start.split(" ")[0]

    def vias(self):
        return [via for field in self.fields("Via") for via in split_list(unfold(field))]


def parse_via(via):
    """Transport, host, port, parameters."""
    match = re.match(r"SIP\s*/\s*2\.0\s*/\s*(\w+)\s+(\[[^\]]*\]|[^:;\s]+)\s*(?::\s*(\d+))?(.*)$", via, re.S)
    if not match:
        raise ValueError(f"no Via: {via!r}")
    params = {key.lower(): value for key, value in split_params(match[4])}
    return match[1].upper(), match[2].lower(), int(match[3] or 0), params


PARAMS = {"via", "from", "to", "reply-to", "call-info", "content-type", "content-disposition", "contact"}


def outside(value, change):
    """Changes what is neither in quotes nor in angle brackets."""
    parts = re.split(r'("(?:[^"\\\\]|\\\\.)*"|<[^>]*>)', value)
    return "".join(part if i % 2 else change(part) for i, part in enumerate(parts))


def write(start, headers, body=b""):
    """A message as octets, in the style of this server."""
    lines = [start]
    for name, value in headers:
        if on("style-compact"):
            lines.append(f"{SHORT.get(name.lower(), name)}:{value}")
        elif on("style-folded") and name != "Call-ID":
            folded = outside(value, lambda text: text.replace(" ", "\r\n\t "))
            lines.append(f"{name}:\r\n {folded}" if name in ("Subject", "Via", "To") else f"{name}: {folded}")
        elif on("style-spaced") and name.lower() in PARAMS:
            lines.append(f"{name}: " + outside(value, lambda text: re.sub(r"\s*;\s*", " ; ", text)))
        elif on("style-plain"):
            lines.append(f"{name}: {value}")
        elif on("style-upper"):
            lines.append(f"{name.upper()}\t:\t{value} ")
        else:
            lines.append(f"{name.lower()} :  {value}")
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + body


def account_of(uri):
    """The account that a URI names (RFC 3261 §10.3 item 5, §19.1.4): `sip:user@host`."""
    match = re.match(r"sips?:([^@]*)@(\[[^\]]*\]|[^:;?\s]+)(?::\d+)?([;?].*)?$", uri, re.I)
    if not match:
        raise Refused(416 if re.match(r"\w+:", uri) and not uri.lower().startswith("sip") else 404)
    user = match[1].split(":")[0]
    if not on("keeps-escapes"):
        user = urllib.parse.unquote(user, "latin-1")
    if re.search(r"[\x00-\x1f]", user):
        raise Refused(400)
    key = f"sip:{user}@{match[2].lower()}"
    if on("account-lower-case"):
        key = key.lower()
    if on("account-keeps-params"):
        key += match[3] or ""
    if on("account-without-domain"):
        key = key.split("@")[0] + "@" + DOMAINS[0]
    if on("account-ignores-dots"):
        key = key.split("@")[0].replace(".", "") + "@" + key.split("@")[1]
    return key


DOMAINS: list = []
REASON = {200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
          405: "Method Not Allowed", 410: "Gone", 413: "Too Large", 415: "Unsupported Media Type",
          416: "Unsupported URI Scheme", 420: "Bad Extension", 423: "Interval Too Brief",
          480: "Temporarily Unavailable", 481: "No Such Transaction", 482: "Merged",
          483: "Too Many Hops", 500: "Server Error", 503: "Overloaded"}


def sip_date(at):
    return datetime.fromtimestamp(at, timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")


def iso(at):
    return datetime.fromtimestamp(min(at, 253402300799), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_date(text):
    """Seconds since the epoch, or None where it is no SIP date."""
    try:
        at = datetime.strptime(text.strip(), "%a, %d %b %Y %H:%M:%S GMT")
    except ValueError:
        return None
    return at.replace(tzinfo=timezone.utc).timestamp()
