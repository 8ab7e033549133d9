#!/usr/bin/env python3
"""A second IM server for deferred SIP MESSAGEs, written from the RFCs with the standard library alone.

It shares no code with imspec and takes another way wherever the specification leaves one open: random
Message-IDs, normalised header fields, messages delivered in random order and to all contacts side by side,
a journal instead of a data base. `--variant` makes it conform in yet another way, `--fault` makes it wrong in
one. The suite must accept every variant and catch every fault; `run.sh` beside this file sees to that.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import re
import secrets
import signal
import sys
import time
import urllib.parse
from datetime import datetime, timezone

from catalogue import FAULTS, POLICY, VARIANTS

CHOSEN: set = set()  # names of the variants and faults of this process


def on(name):
    """Whether this server was started with that variant or fault."""
    assert name in VARIANTS or name in FAULTS, name
    return name in CHOSEN


# ---- SIP messages ---------------------------------------------------------------------------------------

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


# ---- the store ------------------------------------------------------------------------------------------

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


class Store:
    """Records in memory, every change first in a journal on disk."""

    def __init__(self, path, policy):
        self.policy, self.records, self.accounts, self.offset = policy, {}, set(), 0.0
        self.given, self.counter, self.seen_bodies, self.last_mark = {}, 0, set(), None
        self.last_arrival = {}
        self.late = []
        if os.path.exists(path) and not on("forgets-at-restart"):
            with open(path, encoding="ascii") as lines:
                for line in lines:
                    if line.endswith("\n"):
                        self.replay(json.loads(line))
            self.woken()
        self.journal = open(path, "a", encoding="ascii")
        self.tick = None

    def replay(self, entry):
        kind = entry.pop("do")
        if kind == "add":
            self.records[entry["key"]] = entry
            if not on("ids-again-after-restart"):
                self.counter = max(self.counter, entry["number"])
        elif kind == "change":
            if entry["key"] in self.records:
                self.records[entry["key"]].update(entry)
        elif kind == "account":
            self.accounts.add(entry["account"])
        elif kind == "policy":
            self.policy.update(entry["values"])
        elif kind == "clock":
            self.offset = entry["offset"]

    def woken(self):
        """Faults that show after a restart."""
        for record in self.records.values():
            if on("redelivers-after-restart") and record["state"] == "delivered":
                record["state"] = "waiting"
            if on("expired-back-after-restart") and record["state"] == "expired":
                record.update(state="waiting", at=None)
            if on("clock-restarts-at-restart") and record["at"] is not None:
                record["at"] = self.now() + record["seconds"]
            if on("marks-lost-at-restart"):
                record.update(at=None, seconds=None)
            if on("body-lost-at-restart") and len(record["body"]) > 100:
                record["body"] = record["body"][:100]

    def write(self, kind, **entry):
        line = json.dumps({"do": kind, **entry}) + "\n"
        if on("durable-late") and kind == "add":
            asyncio.get_running_loop().call_later(0.4, lambda: (self.journal.write(line), self.journal.flush()))
            return
        self.journal.write(line)
        self.journal.flush()
        if kind == "add":
            os.fsync(self.journal.fileno())

    def change(self, record, **values):
        record.update(values)
        self.write("change", key=record["key"], **values)

    # -- time

    def now(self):
        return time.time() + self.offset

    def granularity(self):
        return self.policy["policy.granularity_s"]

    def sweep(self):
        """Treats what expired by the last tick; the policy takes effect with the granularity declared."""
        step = self.granularity() or 0.001
        tick = self.now() // step
        if tick == self.tick:
            return
        self.tick = tick
        due = [r for r in self.records.values()
               if r["state"] in ("waiting", "delivering") and not r.get("late")
               and r["at"] is not None and r["at"] <= tick * step]
        if on("never-expires"):
            return
        if on("expires-one-at-a-time"):
            due = due[:1]
        for record in due:
            self.expire(record)

    def expire(self, record):
        policy = self.policy["policy.expired"]
        if policy == "deliver":
            self.change(record, late=True)
        else:
            self.change(record, state="expired")
            if on("expiry-takes-account"):
                for other in self.of(record["account"]):
                    if other["state"] == "waiting":
                        self.change(other, state="expired")
            if on("expiry-takes-sender"):
                for other in self.records.values():
                    if other["state"] == "waiting" and other["sender"] == record["sender"]:
                        self.change(other, state="expired")
        SERVER.expired(record)

    # -- records

    def of(self, account):
        if on("account-by-prefix"):
            return [r for r in self.records.values()
                    if r["account"].split("@")[0].startswith(account.split("@")[0])]
        return [r for r in self.records.values() if r["account"] == account]

    def waiting(self, account):
        return [r for r in self.of(account) if r["state"] == "waiting"]

    def message_id(self, message, account):
        self.counter += 1
        host = "mailstore1." + DOMAINS[0]
        if on("host-per-account"):
            host = f"store{sum(account.encode()) % 7}.{DOMAINS[0]}"
        text = secrets.token_urlsafe(12)
        if on("id-counter"):
            text = str(13684434990 + 10 * self.counter)
        if on("id-per-account"):
            self.given[account] = self.given.get(account, 0) + 1
            text = str(self.given[account])
        if on("id-again-after-delivery"):
            live = {r["id"] for r in self.records.values() if r["state"] in ("waiting", "delivering")}
            n = 1
            while any(f"n{n}@" in known for known in live):
                n += 1
            text = f"n{n}"
        if on("ids-again-after-restart"):
            text = str(self.counter)
        if on("id-wraps"):
            text = f"{self.counter % 64:06}"
        if on("id-case-only"):
            text = "".join(random.choice(pair) for pair in ("aA", "bB", "cC")) + str(self.counter // 2)
        if on("id-content-hash"):
            import hashlib
            text = hashlib.md5(message.body).hexdigest()
        if on("id-second"):
            text = str(int(self.now()))
        if on("id-millisecond"):
            text = str(int(self.now() * 1000))
        if on("id-call-id"):
            text = message.get("Call-ID").split("@")[0]
        if on("id-imdn"):
            match = re.search(rb"\nimdn\.Message-ID: *(\S+)", message.body)
            text = match[1].decode("latin-1") if match else text
        if on("id-sender-domain"):
            host = address(message.get("From"))[1].partition("@")[2].partition(";")[0]
        if on("id-planted") and message.get("Message-ID"):
            text, _, host = message.get("Message-ID").partition("@")
        if on("id-white-space"):
            return f"sip: Message-ID= {text}@{host}"
        if on("id-no-host"):
            return text
        return {"bare": f"{text}@{host}", "sip-uri": f"sip:{text}@{host}",
                "sip-uri-param": f"sip:Message-ID={text}@{host}",
                "angle": f"<{text}@{host}>"}[self.policy["mid.form"]]

    def lifetime(self, message, received):
        """Seconds and instant of the mark, or None twice; refuses what the policy refuses."""
        p = self.policy
        fields = [unfold(value) for value in message.fields("Expires")]
        default = p["expire.default.pm"]
        default = None if default == "none" else int(default)
        if on("default-in-minutes") and default:
            default *= 60
        if on("default-inherited") and not fields:
            default = self.last_mark
        seconds, base = default, received
        if fields:
            good = len(fields) == 1 and re.fullmatch(r"[0-9]+", fields[0]) and int(fields[0]) < 2 ** 32
            if on("expires-wraps-32") and fields[0].isdecimal():
                fields, good = [str(int(fields[0]) % 2 ** 32)], True
            if on("malformed-is-expired") and not good:
                return 0, received
            if not good:
                match p["expire.malformed"]:
                    case "reject":
                        raise Refused(400)
                    case "3600" | 3600:
                        seconds = 3600
            else:
                seconds = int(fields[0])
                if on("expires-octal") and fields[0][0] == "0" and len(fields[0]) > 1:
                    seconds = int(re.sub(r"[89]", "7", fields[0]), 8)
                if on("expires-minutes"):
                    seconds *= 60
                if on("expires-milliseconds"):
                    seconds = seconds // 1000
                if on("expires-signed") and seconds >= 2 ** 31:
                    seconds -= 2 ** 32
                if on("expires-min-default") and default:
                    seconds = min(seconds, default)
                if on("expires-max-default") and default:
                    seconds = max(seconds, default)
                if on("expires-raised"):
                    seconds = max(seconds, 60)
                if on("expires-hidden-clamp"):
                    seconds = min(seconds, 604800)
                if on("expires-modulo-day"):
                    seconds = seconds % 86400 or 86400
                if on("expires-whole-minutes"):
                    seconds = seconds // 60 * 60
                if fields[0].lstrip("0") == "":
                    match p["expire.zero"]:
                        case "never":
                            seconds = None
                        case "reject":
                            raise Refused(400)
                        case "default":
                            seconds = default
                date = message.get("Date")
                by_date = p["expire.base"] == "date" and not on("receipt-though-date") or on("date-though-receipt")
                if by_date and seconds is not None and date and read_date(date) is not None:
                    base = read_date(date)
                if seconds is not None and p["expire.clamp"] != "none":
                    seconds = min(seconds, int(p["expire.clamp"]))
        if on("from-expires") and "expires=" in (message.get("From") or ""):
            seconds = int(re.search(r"expires=(\d+)", message.get("From"))[1])
        if p["expire.marking"] == "off" and not on("marks-all-the-same"):
            return None, None
        if on("hidden-limit") and seconds is None:
            seconds = 30 * 86400 - 60
        self.last_mark = seconds if seconds is not None else self.last_mark
        return (None, None) if seconds is None else (seconds, base + seconds)

    def add(self, message, account):
        """Stores a message; it is on disk when this returns."""
        received = self.now()
        seconds, at = self.lifetime(message, received)
        if on("account-of-sender"):
            account = account_of(address(message.get("From"))[1])
        if on("dedupes-bodies"):
            if (account, message.body) in self.seen_bodies:
                return None
            self.seen_bodies.add((account, message.body))
        if on("dedupes-call-id"):
            for other in self.waiting(account):
                if dict(other["headers"]).get("Call-ID") == message.get("Call-ID"):
                    self.change(other, state="deleted")
        if on("loses-concurrent"):
            last, self.last_arrival[account] = self.last_arrival.get(account, 0), time.monotonic()
            if time.monotonic() - last < 0.002:
                return None
        if on("silent-quota") and len(self.waiting(account)) >= 30:
            return None
        if on("drops-large") and len(message.body) > 3000:
            return None
        if on("drops-empty") and not message.body:
            return None
        if on("zero-never-stored") and seconds == 0:
            return None
        uri = message.start.split(" ")[1]
        if on("uri-canonical"):
            uri = account
        if on("uri-from-to"):
            uri = address(message.get("To"))[1]
        key = secrets.token_hex(8)
        record = {
            "key": key, "number": self.counter + 1, "id": self.message_id(message, account),
            "account": account, "uri": uri,
            "headers": stored_headers(message, received), "body": stored_body(message).decode("latin-1"),
            "received": received, "seconds": seconds, "at": at, "state": "waiting",
            "sender": address(message.get("From"))[1]}
        self.records[key] = record
        self.write("add", **record)
        if on("latest-mark-for-all"):
            for other in self.waiting(account):
                self.change(other, seconds=seconds, at=at)
        return record


def stored_headers(message, received):
    """The header fields as this store keeps them: long names, one line each, lists combined."""
    fields = []
    if on("octet"):
        fields = [[name, value.rstrip(" \t")] for name, value in message.headers]
        return [field for field in fields if on("keeps-hop") or canonical(field[0]).lower() not in HOP]
    for name, value in message.headers:
        if on("drops-compact-subject") and name in "sS":
            continue
        name = canonical(name)
        low = name.lower()
        raw, value = value, unfold(value)
        if low in HOP and not any(map(on, KEEPING_HOP)):
            continue
        if low == "p-asserted-identity" and not on("trusts-pai"):
            continue  # nobody here is trusted (RFC 3325 §5)
        if on("drops-subject") and low == "subject" or on("drops-unknown") and low not in KNOWN:
            continue
        if on("drops-expires") and low == "expires" or on("drops-organization") and low == "organization":
            continue
        if on("from-bare") and low == "from":
            value = "<" + re.sub(r";.*", "", address(value)[1]) + ">"
        if on("from-without-tag") and low == "from":
            value = re.sub(r";\s*tag=[^;]*", "", value)
        if on("to-from-uri") and low == "to":
            value = f"<{message.start.split(' ')[1]}>"
        if on("date-of-receipt") and low == "date":
            value = sip_date(received)
        if on("cpim-as-text") and low == "content-type" and "cpim" in value:
            value = "text/plain"
        if on("drops-type-params") and low == "content-type" and "multipart" not in value:
            value = value.split(";")[0].strip()
        if on("drops-disposition") and low == "content-disposition":
            continue
        if on("values-lower-case") and low not in ("call-id", "cseq", "content-type"):
            value = value.lower()
        if on("value-cut-1024"):
            value = value[:1024]
        if on("value-cut-at-semicolon") and low not in KNOWN:
            value = value.split(";")[0]
        if on("value-question-marks"):
            value = re.sub(r"[\x80-\xff]", "?", value)
        if on("value-latin1-utf8"):
            value = value.encode("utf-8").decode("latin-1")
        if on("value-unescapes"):
            value = urllib.parse.unquote(value, "latin-1").replace("\r", " ").replace("\n", " ")
        if on("empty-dropped") and not value:
            continue
        if on("fold-becomes-header") and "\r\n" in raw:
            value = raw.split("\r\n")[0].strip()
        if on("reorders-params") and low in ("content-type", "from", "to", "reply-to"):
            value = reorder(low, value)
        if on("retypes") and low == "content-type":
            value = retype(value)
        same = next((field for field in fields if field[0].lower() == low), None)
        if same is None:
            fields.append([name, value])
        elif on("last-of-repeated"):
            same[1] = value
        elif on("first-of-repeated"):
            pass
        elif on("repeated-reversed"):
            fields.insert(fields.index(same), [name, value])
        elif on("equal-repeats-merged") and value in split_list(same[1]):
            pass
        elif low in SINGLE or on("rows-apart"):
            fields.append([name, value])
        else:
            same[1] += ", " + value
    if on("header-count-limit"):
        fields = fields[:20]
    if on("invents-pai"):
        fields.append(["P-Asserted-Identity", f"<{address(message.get('From'))[1]}>"])
    if on("invents-subject") and not message.get("Subject"):
        fields.append(["Subject", "Message"])
    fields.append(["X-Stored-By", "peer.imspec.test; received=" + iso(received)])
    return fields


def reorder(name, value):
    """Other order of parameters, which has no meaning."""
    if name == "content-type":
        kind, semi, rest = value.partition(";")
        return kind.strip() + write_params(reversed(split_params(rest)))
    display, uri, params = address(value)
    return (display + " " if display else "") + f"<{uri}>" + write_params(reversed(params))


def retype(value):
    """Type and parameter names in lower case, parameter values without needless quotes."""
    kind, _, rest = value.partition(";")
    pairs = [(k.lower(), re.sub(r'^"([\w.-]+)"$', r"\1", v or "")) for k, v in split_params(rest)]
    return kind.strip().lower() + "".join(f"; {k}={v}" for k, v in pairs)


def stored_body(message):
    body = message.body
    kind = (message.get("Content-Type") or "").lower()
    if on("body-to-nul"):
        body = body.split(b"\0")[0]
    if on("body-1300"):
        body = body[:1300]
    if on("body-700"):
        body = body[:700]
    if on("body-trim-end"):
        body = body.rstrip(b"\r\n")
    if on("body-trim"):
        body = body.strip()
    if on("body-crlf"):
        body = re.sub(rb"\r?\n", b"\r\n", body)
    if on("body-percent-decoded"):
        body = urllib.parse.unquote_to_bytes(body)
    if on("body-utf8-replaced"):
        body = body.decode("utf-8", "replace").encode()
    if on("body-latin1-utf8") and "8859-1" in kind:
        body = body.decode("latin-1").encode()
    if on("body-first-part") and kind.startswith("multipart"):
        match = re.search(rb"^--(.*?)\r\n", body, re.M)
        body = body.split(b"--" + match[1])[1] if match else body
    if on("body-gunzips") and message.get("Content-Encoding") == "gzip":
        import zlib
        try:
            body = zlib.decompressobj(31).decompress(body)
        except zlib.error:
            pass
    if on("body-html-escaped") and b"html" in kind.encode():
        body = body.replace(b"<", b"&lt;")
    if on("body-dot-stuffed"):
        body = re.sub(rb"(?m)^MESSAGE ", b">MESSAGE ", body)
    if on("body-cpim-headers-sorted") and "cpim" in kind:
        head, _, rest = body.partition(b"\r\n\r\n")
        body = b"\r\n".join(sorted(head.split(b"\r\n"))) + b"\r\n\r\n" + rest
    return body


# ---- transport ------------------------------------------------------------------------------------------

class Udp(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, octets, source):
        SERVER.received(octets, ("udp", source))


class Connection:
    """One TCP connection, accepted or opened."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.open = reader, writer, True
        self.source = writer.get_extra_info("peername")
        self.pending, self.pieces = set(), []

    async def read(self):
        buffer = b""
        try:
            while True:
                while buffer[:2] == b"\r\n":
                    buffer = buffer[2:]
                head, end, rest = buffer.partition(b"\r\n\r\n")
                if end:
                    match = re.search(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*(?:\r\n[ \t]+)?(\d{1,9})", head)
                    length = int(match[1]) if match else 0
                    if length > 4_000_000:
                        return
                    if len(rest) >= length:
                        SERVER.received(head + end + rest[:length], ("tcp", self))
                        buffer = rest[length:]
                        continue
                elif len(buffer) > 200_000:
                    return
                chunk = await self.reader.read(65536)
                if not chunk:
                    return
                buffer += chunk
        except (ConnectionError, OSError):
            return
        finally:
            self.open = False
            self.writer.close()
            for future in self.pending:
                if not future.done():
                    future.set_result(None)
            SERVER.closed(self)

    def send(self, octets):
        if not self.open:
            return
        if not on("tcp-in-pieces"):
            self.writer.write(octets)
            return
        idle = not self.pieces
        self.pieces += [b"\r\n\r\n" + octets[:40], octets[40:47], octets[47:]]
        if idle:
            self.write_piece()

    def write_piece(self):
        if self.open and self.pieces:
            self.writer.write(self.pieces[0])
            asyncio.get_running_loop().call_later(0.005, self.next_piece)

    def next_piece(self):
        self.pieces.pop(0)
        self.write_piece()


# ---- the server -----------------------------------------------------------------------------------------

class Server:
    def __init__(self, args, store):
        self.args, self.store = args, store
        self.transactions, self.calls = {}, {}
        self.bindings = {}      # account → {contact URI: {"uri", "until", "peer", "call", "cseq"}}
        self.workers, self.locks, self.clients, self.connections = {}, {}, {}, {}
        self.tasks = set()
        self.last_from = None
        self.old_contact = {}
        self.served = {}

    def spawn(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.done)

    def done(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            print("task failed:", repr(task.exception()), file=sys.stderr)

    # -- in and out

    def received(self, octets, peer):
        if not octets.strip(b"\r\n"):
            return
        try:
            message = Sip.parse(octets, peer[0] == "udp")
            via = parse_via(message.vias()[0])
        except (ValueError, IndexError) as why:
            print("dropped:", why, file=sys.stderr)
            return
        if message.start.startswith("SIP/2.0 "):
            future = self.clients.get(via[3].get("branch"))
            status = int(message.start.split(" ")[1])
            if future and not future.done() and status >= 200:
                future.set_result(status)
            return
        key = (via[3].get("branch"), via[1], via[2], message.method)
        known = self.transactions.get(key)
        if known is not None and not (on("forgets-transactions") and time.monotonic() - known["at"] > 0.03):
            if known["answer"]:
                self.send(known["answer"], peer, via)
            return
        transaction = self.transactions[key] = {"answer": None, "at": time.monotonic()}
        loop = asyncio.get_running_loop()
        loop.call_later(64 * self.args.t1, self.transactions.pop, key, None)
        self.spawn(self.serve(message, peer, via, transaction))

    async def serve(self, message, peer, via, transaction):
        answer, trying = None, None
        try:
            if on("trying-tcp") and peer[0] == "tcp":
                self.send(self.response(message, peer, 100, []), peer, via)
            if message.method not in ("ACK", "CANCEL"):
                trying = asyncio.get_running_loop().call_later(
                    7 * self.args.t1, lambda: self.send(self.response(message, peer, 100, []), peer, via))
            status, headers, after = await self.handle(message, peer)
            if status is None:
                return
            answer = self.response(message, peer, status, headers)
        except Refused as why:
            if on("drops-odd") and why.status == 400:
                return
            answer, after = self.response(message, peer, why.status, list(why.headers)), None
        finally:
            if trying:
                trying.cancel()
        transaction["answer"] = answer
        self.send(answer, peer, via)
        if after:
            after()

    def response(self, message, peer, status, headers):
        vias = message.vias()
        if vias and not on("no-rport"):
            source = peer[1] if peer[0] == "udp" else peer[1].source
            _, host, _, params = parse_via(vias[0])
            if "rport" in params and params["rport"] is None:
                vias[0] = re.sub(r";\s*rport(?!\s*=)", f";rport={source[1]}", vias[0]) + f";received={source[0]}"
            elif host != source[0]:
                vias[0] += f";received={source[0]}"
        to = message.get("To") or ""
        if status > 100 and not re.search(r";\s*tag\s*=", to):
            if not on("answers-without-tag"):
                if not re.search(r"<.*>", to) and ";" in to:
                    to = "<" + address(to)[1] + ">" + write_params(address(to)[2])
                to += ";tag=" + secrets.token_hex(4)
        fields = [("Via", via) for via in vias] if on("style-plain") else [("Via", ", ".join(vias))]
        cseq = message.get("CSeq") or ""
        if on("answers-other-cseq"):
            cseq = "1 " + cseq.split(" ")[-1]
        if on("answers-bare-from"):
            fields += [("From", re.sub(r'^"[^"]*"\s*', "", message.get("From") or ""))]
        else:
            fields += [("From", message.get("From") or "")]
        fields += [("To", to), ("Call-ID", message.get("Call-ID") or ""), ("CSeq", cseq)]
        fields += headers
        body = b""
        if 200 <= status < 300 and message.method == "MESSAGE":
            if on("answer-with-contact"):
                fields.append(("Contact", f"<sip:{DOMAINS[0]}>"))
            if on("answer-with-body"):
                body = b"stored"
                fields.append(("Content-Type", "text/plain"))
        fields += [("Server", "peer/1"), ("Date", sip_date(self.store.now())), ("Content-Length", str(len(body)))]
        reason = "" if on("reason-empty") else REASON.get(status, "Some Reason: yes, really")
        return write(f"SIP/2.0 {status} {reason}", fields, body)

    def send(self, octets, peer, via=None):
        if peer[0] == "tcp":
            peer[1].send(octets)
            return
        to = peer[1]
        if via and (on("no-rport") or "rport" not in via[3]):
            to = (to[0], via[2] or 5060)
        self.udp.sendto(octets, to)

    # -- requests

    async def handle(self, message, peer):
        if message.broken:
            raise Refused(400)
        for name in ("To", "From", "Call-ID", "CSeq"):
            if len(message.fields(name)) != 1:
                raise Refused(400)
        cseq = re.fullmatch(r"(\d+)\s+(\S+)", message.get("CSeq"))
        if not cseq or cseq[2] != message.method or int(cseq[1]) >= 2 ** 31:
            raise Refused(400)
        if not re.fullmatch(r"\S+ \S+ SIP/2\.0", message.start) or "\0" in "".join(v for _, v in message.headers):
            raise Refused(400)
        match message.method:
            case "REGISTER":
                return self.register(message, peer)
            case "MESSAGE":
                return await self.message(message)
            case "OPTIONS":
                return 200, [("Allow", "MESSAGE, REGISTER, OPTIONS")], None
            case "ACK":
                return None, None, None
            case "CANCEL":
                raise Refused(481)
        raise Refused(405, ("Allow", "MESSAGE, REGISTER, OPTIONS"))

    def account(self, uri):
        account = account_of(uri)
        host = account.partition("@")[2]
        if host not in DOMAINS and not (on("account-without-domain") or on("account-keeps-params")):
            raise Refused(404)
        if on("any-user") or account in self.store.accounts or on("accepts-unknown"):
            return account
        if on("account-by-prefix") or on("account-keeps-params"):
            return account
        raise Refused(403 if on("unknown-403") else 480 if on("unknown-480") else 404)

    def register(self, message, peer):
        account = self.account(address(message.get("To"))[1])
        bindings = self.bindings.setdefault(account, {})
        now, call, cseq = self.store.now(), message.get("Call-ID"), int(message.get("CSeq").split()[0])
        for uri in [uri for uri, b in bindings.items() if b["until"] <= now and not on("bindings-never-lapse")]:
            del bindings[uri]
        contacts = [c for field in message.fields("Contact") for c in split_list(unfold(field))]
        default = message.get("Expires")
        default = int(default) if default and default.isdecimal() else 3600
        came, changes = [], {}
        if contacts == ["*"]:
            if default != 0:
                raise Refused(400)
            if not on("star-ignored"):
                bindings.clear()
        else:
            for contact in contacts:
                _, uri, params = address(contact)
                params = {k.lower(): v for k, v in params}
                seconds = int(params.get("expires") or default)
                if on("short-registration"):
                    seconds = min(seconds, 300)
                if on("min-registration") and 0 < seconds < 120:
                    raise Refused(423, ("Min-Expires", "120"))
                old = bindings.get(uri)
                if old and old["call"] == call and cseq <= old["cseq"]:
                    raise Refused(500)
                changes[uri] = seconds
            for uri, seconds in changes.items():
                if seconds == 0:
                    self.old_contact[account] = bindings.pop(uri, None) or self.old_contact.get(account)
                    continue
                if uri not in bindings or not on("refresh-quiet"):
                    came.append(uri)
                bindings[uri] = {"uri": uri, "until": now + seconds, "peer": peer, "call": call, "cseq": cseq}
                if on("refresh-restarts-clock"):
                    for record in self.store.waiting(account):
                        if record["seconds"] is not None:
                            self.store.change(record, at=now + record["seconds"])
                if on("refresh-redelivers"):
                    for record in self.store.of(account):
                        if record["state"] == "delivered":
                            self.store.change(record, state="waiting")
                            break
        if on("query-delivers") and not contacts or on("removal-delivers") and contacts and not came:
            for uri in [*bindings, *([address(contacts[0])[1]] if contacts and contacts != ["*"] else [])]:
                bindings.setdefault(uri, {"uri": uri, "until": now + 60, "peer": peer, "call": call, "cseq": cseq})
                came.append(uri)
            if not came and on("query-delivers"):
                source = peer[1] if peer[0] == "udp" else peer[1].source
                uri = f"sip:x@{source[0]}:{source[1]};transport={peer[0]}"
                bindings[uri] = {"uri": uri, "until": now + 60, "peer": peer, "call": call, "cseq": cseq}
                came.append(uri)
        listed = [f"<{b['uri']}>;expires={max(1, int(b['until'] - now))}" for b in bindings.values()]
        headers = [("Contact", ", ".join(listed))] if listed else []

        def after():
            if on("login-notice") and came:
                self.spawn(self.notice(account, f"Welcome. {len(self.store.waiting(account))} message(s) wait."))
            for uri in came:
                self.kick(account, uri)
        return 200, headers, after

    def online(self, account):
        now = self.store.now()
        bindings = list(self.bindings.get(account, {}).values())
        if on("bindings-never-lapse"):
            return bindings
        return [b for b in bindings if b["until"] > now]

    async def message(self, message):
        uri = message.start.split(" ")[1]
        if on("account-from-to"):
            uri = address(message.get("To"))[1]
        if message.get("Require"):
            raise Refused(420, ("Unsupported", message.get("Require")))
        if message.get("Max-Forwards") == "0":
            raise Refused(483)
        account = self.account(uri)
        kind = (message.get("Content-Type") or "").lower()
        if re.search(r";\s*tag\s*=", message.get("To")) and not on("to-tag-taken"):
            raise Refused(481)
        tag = dict(address(message.get("From"))[2]).get("tag")
        call = (tag, message.get("Call-ID"), message.get("CSeq"))
        if call in self.calls and not on("merged-stored") and not on("forgets-transactions"):
            if on("merged-absorbed"):
                return 202, [], None
            raise Refused(482)
        self.calls[call] = True
        asyncio.get_running_loop().call_later(64 * self.args.t1, self.calls.pop, call, None)
        if on("strict"):
            self.be_strict(message, kind)
        if on("local-senders") and account_of(address(message.get("From"))[1]).partition("@")[2] not in DOMAINS:
            raise Refused(403)
        if on("quota") and len(self.store.waiting(account)) >= 5:
            raise Refused(480, ("Retry-After", "3600"))
        if on("text-only") and not re.match(r"text/|message/cpim|multipart/", kind or "text/"):
            raise Refused(415, ("Accept", "text/*, message/cpim, multipart/*"))
        ok = int(self.store.policy["accept.status"])
        if on("drops-composing") and "iscomposing" in kind:
            return 200, [], None
        if on("body-required") and not message.body:
            raise Refused(400)
        if not self.online(account):
            return self.store_it(message, account, ok)
        if on("online-also-stored"):
            self.store.add(message, account)
        if on("store-first"):
            return self.store_it(message, account, ok)
        record = {"headers": stored_headers(message, self.store.now()),
                  "body": stored_body(message).decode("latin-1"),
                  "received": self.store.now(), "seconds": None, "at": None, "account": account}
        if on("lost-while-registering"):
            if any(w["busy"] for k, w in self.workers.items() if k[0] == account):
                return ok, [], None
        results = await asyncio.gather(*(self.attempt(record, b) for b in self.online(account)))
        best = min((r for r in results if r), default=None)
        if best and best < 300:
            return 200, [], None
        if on("unreachable-stored") and (best is None or best < 600):
            return self.store_it(message, account, ok)
        raise Refused(best or 480)

    def store_it(self, message, account, ok):
        record = self.store.add(message, account)
        if on("answers-480-stored"):
            raise Refused(480)

        def after():
            for binding in self.online(account):
                self.kick(account, binding["uri"])
            sender = address(message.get("From"))[1]
            if on("stored-notice") and not message.get("X-Notice"):
                self.spawn(self.notice_to(sender, "Your message is kept until its recipient is back."))
            if on("stored-notice-quoting") and not message.get("X-Notice"):
                self.spawn(self.notice_to(sender, b"Kept for later: " + message.body))
            if on("copies-to-sender"):
                self.spawn(self.notice_to(sender, message.body))
        return ok, [], after

    def be_strict(self, message, kind):
        """Refuses whatever is odd, where a server may."""
        date = message.get("Date")
        if date is not None and read_date(date) is None:
            raise Refused(400)
        if not re.fullmatch(r"[\w.!%*+`'~()<>:\\\"/\[\]?{}-]+(@[\w.!%*+`'~()<>:\\\"/\[\]?{}-]+)?", message.get("Call-ID")):
            raise Refused(400)
        expires = [unfold(value) for value in message.fields("Expires")]
        if len(expires) > 1 or expires and not (expires[0].isdecimal() and int(expires[0]) < 2 ** 32):
            raise Refused(400)
        if len(message.body) > 20000:
            raise Refused(413)
        if any(len(value) > 1000 for _, value in message.headers):
            raise Refused(400)
        if message.body and not kind:
            raise Refused(400)

    # -- delivery

    def kick(self, account, uri):
        worker = self.workers.setdefault((account, uri), {"busy": False, "again": False})
        worker["again"] = True
        if not worker["busy"]:
            worker["busy"] = True
            self.spawn(self.work(account, uri, worker))

    async def work(self, account, uri, worker):
        """Offers each waiting message to one contact."""
        try:
            while worker["again"]:
                worker["again"] = False
                await asyncio.sleep(self.args.delay * random.random())
                tried, count = set(), 0
                while True:
                    binding = self.bindings.get(account, {}).get(uri)
                    if on("old-contact") and self.old_contact.get(account):
                        binding = self.old_contact[account]
                    if binding is None or binding["until"] <= self.store.now():
                        return
                    waiting = [r for r in self.store.of(account) if r["key"] not in tried
                               and (r["state"] == "waiting" or on("never-removed") and r["state"] == "delivered")]
                    if on("fifo"):
                        waiting.sort(key=lambda r: r["received"])
                    elif on("reverse"):
                        waiting.sort(key=lambda r: -r["received"])
                    else:
                        random.shuffle(waiting)
                    if not waiting:
                        break
                    record = waiting[0]
                    tried.add(record["key"])
                    count += 1
                    if on("batch-of-ten") and count > 10:
                        return
                    if not record.get("late") and self.granular_late(record):
                        continue
                    if on("all-at-once"):
                        self.spawn(self.offer(record, binding, worker))
                        continue
                    stop = await self.offer(record, binding, worker)
                    if stop:
                        break
        finally:
            worker["busy"] = False

    def granular_late(self, record):
        """With granularity 0 the time is looked at before each attempt."""
        if self.store.granularity() == 0 and record["at"] is not None and record["at"] <= self.store.now():
            self.store.expire(record)
            return not record.get("late")
        return False

    async def offer(self, record, binding, worker):
        """One attempt; true when the contact takes nothing for now."""
        status = await self.attempt(record, binding)
        if status is not None and status < 300:
            if record["state"] == "waiting":
                self.store.change(record, state="delivered")
                binding["peer"][0] == "tcp" and binding["peer"][1].__dict__.setdefault("took", []).append(record)
                if on("imdn-failed-after-delivery"):
                    self.spawn(self.notice_to(record["sender"], "failed: could not be delivered"))
            return False
        if on("failure-drops") or on("failure-480-drops") and status == 480 \
                or on("failure-503-drops") and status == 503 or on("failure-486-drops") and status == 486 \
                or on("timeout-drops") and status is None:
            self.store.change(record, state="deleted")
        if on("failure-restarts-clock") and record["seconds"] is not None:
            self.store.change(record, at=self.store.now() + record["seconds"])
        if on("failure-new-id"):
            self.store.change(record, id=secrets.token_hex(6) + "@mailstore1." + DOMAINS[0])
        if on("failure-drops-body"):
            self.store.change(record, body="")
        if status is not None and status >= 600 and not on("refused-kept"):
            self.store.change(record, state="deleted")
            return False
        if on("failure-ends-service"):
            self.bindings[record["account"]].clear()
        if on("retries") and status in (480, 486, 503) and record.get("tries", 0) < 3:
            record["tries"] = record.get("tries", 0) + 1
            account, uri = record["account"], binding["uri"]
            asyncio.get_running_loop().call_later(0.12, self.kick, account, uri)
        return status is None or status == 503

    def delivery(self, record, binding, via):
        """The new request for a stored message (modelled on RFC 5365 §7.2)."""
        mine, now = [], self.store.now()
        sender = next((v for n, v in record["headers"] if n.lower() in ("from", "f")), "<sip:unknown@invalid>")
        display, uri, params = address(unfold(sender))
        if on("from-previous") and self.last_from:
            (display, uri, params), self.last_from = self.last_from, (display, uri, params)
        else:
            self.last_from = display, uri, params
        from_ = (display + " " if display else "") + f"<{uri}>"
        if on("from-service"):
            mine += [("Referred-By", from_), ("P-Asserted-Identity", f"<{uri}>")]
            from_ = f'"Message store" <sip:store@{DOMAINS[0]}>'
        if on("from-recipient"):
            from_ = f"<{record['account']}>"
        rest = [(k, v) for k, v in params if k.lower() != "tag"]
        from_ += write_params(rest if not on("from-service") else []) + ";tag=" + secrets.token_hex(4)
        drop = HOP | {"from", "to", "call-id", "cseq", "contact", "user-agent", "expires", "timestamp",
                      "p-preferred-identity", "supported", "allow", "accept"}
        if on("via-kept"):
            drop -= {"via"}
        if on("credentials-kept"):
            drop -= {"authorization", "proxy-authorization"}
        kept = []
        for name, value in record["headers"]:
            low = canonical(name).lower()
            if low in drop or low == "max-forwards":
                continue
            if on("delivery-loses-subject") and low == "subject" or on("delivery-loses-unknown") and low not in KNOWN:
                continue
            if on("delivery-date-now") and low == "date":
                value = sip_date(now)
            if on("delivery-loses-encoding") and low in ("content-encoding", "content-language"):
                continue
            if on("subject-injects") and low == "subject":
                unquoted = urllib.parse.unquote(value, "latin-1")
                kept.append(("Subject", unquoted.replace("\r\n ", " ")))
                continue
            kept.append((name, unfold(value)))
        body = record["body"].encode("latin-1")
        if not any(n.lower() == "date" for n, _ in kept) and not on("no-date-added"):
            kept.append(("Date", sip_date(record["received"])))
        expires = next((unfold(v) for n, v in record["headers"] if n.lower() == "expires"), None)
        how = self.store.policy["delivery.expires"]
        if expires and how == "as-stored":
            kept.append(("Expires", expires))
        if on("delivery-expires-wrong") and expires:
            kept.append(("Expires", "3600"))
        elif record["at"] is not None and how == "remaining":
            kept.append(("Expires", str(max(0, int(record["at"] - now)))))
        late = record.get("late")
        mark = self.store.policy["policy.indication"]
        show = late or on("indicates-fresh")
        if on("indication-sticks"):
            self.stuck = getattr(self, "stuck", False) or late
            show = self.stuck
        if on("indication-missing"):
            show = False
        if show and mark.startswith("header:"):
            kept.append(("X-Wrong" if on("indication-elsewhere") else mark[7:], "yes"))
        if show and mark == "body" and self.plain(record):
            body = b"[expired] " + body
        if on("offline-prefix") and self.plain(record):
            body = b"[Offline message] " + body
        if on("late-body-prefix") and late:
            body = b"(late) " + body
        if on("late-body-lost") and late:
            body = b""
        old = next((v for n, v in record["headers"] if n.lower() == "max-forwards"), "70")
        forwards = str(int(old) - 1) if on("max-forwards-kept") and old.isdecimal() else "70"
        call = "same@call" if on("call-id-same") else secrets.token_hex(10)
        cseq = "1 REGISTER" if on("cseq-method-wrong") else f"{random.randrange(1, 99999)} MESSAGE"
        branch = "old-style" + secrets.token_hex(4) if on("branch-without-cookie") else via[1]
        fields = [("Via", f"SIP/2.0/{via[0].upper()} 127.0.0.1:{self.args.sip};branch={branch};rport"),
                  ("Max-Forwards", forwards), ("From", from_), ("To", f"<{record['account']}>"),
                  ("Call-ID", call), ("CSeq", cseq)]
        if on("contact-in-message"):
            fields.append(("Contact", f"<sip:127.0.0.1:{self.args.sip}>"))
        fields += [*mine, *kept, ("User-Agent", "peer/1"), ("Content-Length", str(len(body)))]
        return write(f"MESSAGE {binding['uri']} SIP/2.0", fields, body), branch

    def plain(self, record):
        kind = next((v for n, v in record["headers"] if n.lower() == "content-type"), "")
        return kind.lower().startswith("text/plain")

    async def attempt(self, record, binding):
        """Sends one request to one contact; the status, or None where none came."""
        lock = asyncio.Lock() if on("all-at-once") else self.locks.setdefault(binding["uri"], asyncio.Lock())
        async with lock:
            return await self.request(record, binding)

    async def request(self, record, binding):
        branch = "z9hG4bK" + secrets.token_hex(8)
        match = re.match(r"sips?:(?:[^@]*@)?(\[[^\]]*\]|[^:;?]+)(?::(\d+))?(.*)$", binding["uri"], re.I)
        host, port = match[1].strip("[]"), int(match[2] or 5060)
        tcp = "transport=tcp" in match[3].lower()
        octets, branch = self.delivery(record, binding, ("tcp" if tcp else "udp", branch))
        if len(octets) > 1300 and not tcp and not on("big-by-udp"):
            # RFC 3261 §18.1.1: large requests by TCP, and by UDP again where nobody listens.
            by_tcp, other = self.delivery(record, binding, ("tcp", branch + "t"))
            connection = await self.connect(host, port)
            if connection:
                return await self.by_tcp(connection, by_tcp, other)
        if tcp:
            peer = binding["peer"]
            if peer[0] == "tcp" and peer[1].open and not on("tcp-connects"):
                return await self.by_tcp(peer[1], octets, branch)
            connection = await self.connect(host, port)
            return await self.by_tcp(connection, octets, branch) if connection else None
        future = self.clients[branch] = asyncio.get_running_loop().create_future()
        wait, end = self.args.t1, time.monotonic() + 64 * self.args.t1
        try:
            while time.monotonic() < end:
                self.udp.sendto(octets, (host, port))
                try:
                    return await asyncio.wait_for(asyncio.shield(future), wait)
                except asyncio.TimeoutError:
                    wait = min(2 * wait, 8 * self.args.t1)
                if on("retransmits-as-new"):
                    octets, old = self.delivery(record, binding, ("udp", "z9hG4bK" + secrets.token_hex(8))), branch
                    octets, branch = octets
                    self.clients[branch] = future
            return None
        finally:
            self.clients.pop(branch, None)

    async def connect(self, host, port):
        known = self.connections.get((host, port))
        if known and known.open:
            return known
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1)
        except (OSError, asyncio.TimeoutError):
            return None
        connection = self.connections[host, port] = Connection(reader, writer)
        self.spawn(connection.read())
        return connection

    async def by_tcp(self, connection, octets, branch):
        future = self.clients[branch] = asyncio.get_running_loop().create_future()
        connection.pending.add(future)
        try:
            connection.send(octets)
            return await asyncio.wait_for(future, 64 * self.args.t1)
        except asyncio.TimeoutError:
            return None
        finally:
            connection.pending.discard(future)
            self.clients.pop(branch, None)

    def closed(self, connection):
        if on("close-redelivers"):
            for record in connection.__dict__.get("took", []):
                self.store.change(record, state="waiting")

    # -- notices

    def expired(self, record):
        if self.store.policy["sender.notice"] == "message":
            self.spawn(self.notice_to(record["sender"], "A message of yours expired."))
        if record.get("late") and self.store.policy["policy.indication"] == "notify" and not on("indication-missing"):
            self.spawn(self.notice(record["account"], "A message for you had expired.", store=True))

    async def notice_to(self, uri, text):
        try:
            await self.notice(self.account(uri), text)
        except Refused:
            pass

    async def notice(self, account, text, store=False):
        """A MESSAGE of the service itself; nothing of it is deferred unless wanted."""
        body = text if isinstance(text, bytes) else text.encode()
        message = Sip(f"MESSAGE {account} SIP/2.0", [
            ("From", f"<sip:im-service@{DOMAINS[0]}>;tag=n"), ("To", f"<{account}>"), ("X-Notice", "yes"),
            ("Call-ID", secrets.token_hex(8)), ("CSeq", "1 MESSAGE"), ("Content-Type", "text/plain")], body)
        if not self.online(account):
            if store:
                self.store.add(message, account)
            return
        record = {"headers": message.headers, "body": body.decode("latin-1"), "received": self.store.now(),
                  "seconds": None, "at": None, "account": account}
        await asyncio.gather(*(self.attempt(record, b) for b in self.online(account)))


# ---- control API ----------------------------------------------------------------------------------------

class Control:
    """What a maker would write to let a tester look in: HTTP/1.1 and JSON."""

    def __init__(self, store):
        self.store = store

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                method, target, _ = line.decode("latin-1").split(" ")
                length = 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode("latin-1").partition(":")
                    if name.lower() == "content-length":
                        length = int(value)
                body = await reader.readexactly(length)
                status, answer = self.answer(method, target, json.loads(body) if body.strip() else {})
                octets = json.dumps(answer).encode()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                             f"Content-Length: {len(octets)}\r\n\r\n".encode() + octets)
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            writer.close()

    def answer(self, method, target, body):
        path, _, query = target.partition("?")
        store = self.store
        match method, path:
            case "GET", "/v1/health":
                return 200, {"status": "ok", "server": "peer", "version": "1", "domain": DOMAINS[0]}
            case "GET", "/v1/accounts":
                return 200, {"accounts": sorted(store.accounts)}
            case "POST", "/v1/accounts":
                for uri in body.get("add", []):
                    account = account_of(uri)
                    if account.partition("@")[2] in DOMAINS and account not in store.accounts:
                        store.accounts.add(account)
                        store.write("account", account=account)
                return 200, {"accounts": len(store.accounts)}
            case "GET", "/v1/messages":
                store.sweep()
                uri = urllib.parse.parse_qs(query).get("account", [None])[0]
                try:
                    account = uri and account_of(uri)
                except Refused:
                    return 404, {"error": "no such account"}
                if uri and account not in store.accounts and not on("any-user"):
                    return 404, {"error": "no such account"}
                records = store.of(account) if uri else store.records.values()
                return 200, {"messages": [self.shown(r) for r in records]}
            case "GET", "/v1/clock":
                return 200, {"now": self.shown_now(), "movable": True}
            case "POST", "/v1/clock/advance":
                if "to" in body:
                    to = datetime.fromisoformat(body["to"].replace("Z", "+00:00")).timestamp()
                    store.offset = to - time.time()
                else:
                    store.offset += body["by_ms"] / 1000
                store.write("clock", offset=store.offset)
                store.sweep()
                return 200, {"now": self.shown_now()}
            case "GET", "/v1/policy":
                return 200, store.policy
            case "PATCH", "/v1/policy":
                unknown = [key for key in body if key not in store.policy]
                if unknown:
                    return 400, {"error": f"no such key: {unknown[0]}"}
                old = store.policy["expire.default.pm"]
                store.policy.update(body)
                if not on("policy-not-kept"):
                    store.write("policy", values=body)
                if on("default-re-marks") and old != store.policy["expire.default.pm"]:
                    new = store.policy["expire.default.pm"]
                    for record in store.records.values():
                        if record["state"] == "waiting" and not any(n == "Expires" for n, _ in record["headers"]):
                            seconds = None if new == "none" else int(new)
                            store.change(record, seconds=seconds,
                                         at=None if seconds is None else record["received"] + seconds)
                return 200, store.policy
        return 404, {"error": "no such resource"}

    def shown_now(self):
        now = self.store.now()
        return iso(int(now) if on("clock-whole-seconds") else now)

    def shown(self, record):
        """A record in the words of the control API; variants leave out what another server may not know."""
        def instant(at):
            return iso(int(at) if on("whole-seconds") else at)

        def value(text):
            try:
                return {"value": text.encode("latin-1").decode("utf-8")}
            except UnicodeDecodeError:
                return {"value_base64": base64.b64encode(text.encode("latin-1")).decode()}
        expire = None
        if record["at"] is not None:
            expire = {"at": instant(record["at"])}
            if on("mark-seconds"):
                expire = {"seconds": record["seconds"]}
        shown = {
            "account": record["account"], "message_id": record["id"], "kind": "pager",
            "start_line": f"MESSAGE {record['uri']} SIP/2.0",
            "headers": [{"name": name, **value(text)} for name, text in record["headers"]],
            "headers_complete": True,
            "body": {"base64": base64.b64encode(record["body"].encode("latin-1")).decode()},
            "received_at": instant(record["received"]), "stored_at": instant(record["received"]),
            "expire": expire, "state": record["state"]}
        if on("id-new-each-time"):
            shown["message_id"] = secrets.token_hex(6) + "@mailstore1." + DOMAINS[0]
        for variant, keys in (("unknown-body", ["body"]), ("unknown-headers", ["headers", "headers_complete"]),
                              ("unknown-content", ["headers", "headers_complete", "body"]),
                              ("unknown-mark", ["expire"]), ("unknown-id", ["message_id"]),
                              ("unknown-state", ["state"]), ("unknown-times", ["received_at", "stored_at"]),
                              ("unknown-start", ["start_line"])):
            if on(variant):
                for key in keys:
                    del shown[key]
        if on("unknown-some-headers"):
            shown["headers"] = [h for h in shown["headers"] if h["name"] in ("From", "To", "Call-ID")]
            shown["headers_complete"] = False
        return shown


# ---- start ----------------------------------------------------------------------------------------------

SERVER: Server


async def main():
    global SERVER
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sip", type=int, required=True, help="port for UDP and TCP")
    parser.add_argument("--control", type=int, help="port of the control API")
    parser.add_argument("--dir", default=".", help="folder of the journal")
    parser.add_argument("--domain", default="example.org")
    parser.add_argument("--t1", type=float, default=0.1, help="T1 in seconds")
    parser.add_argument("--delay", type=float, default=0.06, help="longest delay of a delivery in seconds")
    parser.add_argument("--variant", default="", help="other ways to conform: NAME,NAME")
    parser.add_argument("--fault", default="", help="ways to be wrong: NAME,NAME")
    args = parser.parse_args()
    policy = dict(POLICY)
    for name, known in ((n, k) for given, k in ((args.variant, VARIANTS), (args.fault, FAULTS))
                        for n in given.split(",") if n):
        if name not in known:
            parser.error(f"unknown: {name}; known: {', '.join(known)}")
        CHOSEN.add(name)
        policy.update(known[name][1])
    DOMAINS.extend([args.domain] + (["second." + args.domain] if on("two-domains") else []))
    store = Store(os.path.join(args.dir, "journal"), policy)
    SERVER = Server(args, store)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Udp, ("127.0.0.1", args.sip))
    SERVER.udp = transport

    async def accepted(reader, writer):
        await Connection(reader, writer).read()
    await asyncio.start_server(accepted, "127.0.0.1", args.sip)
    if args.control:
        await asyncio.start_server(Control(store).serve, "127.0.0.1", args.control, limit=4_000_000)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    print('{"ready":true}', flush=True)
    while not stop.is_set():
        store.sweep()
        try:
            await asyncio.wait_for(stop.wait(), 0.05)
        except asyncio.TimeoutError:
            pass


if __name__ == "__main__":
    asyncio.run(main())
