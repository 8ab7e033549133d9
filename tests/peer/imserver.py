#!/usr/bin/env python3
"""A second IM server for deferred messages, of pager and of session mode, written from the RFCs with the standard library alone.

It shares no code with imspec and takes another way wherever the specification leaves one open: random
Message-IDs, normalised header fields, messages delivered in random order and to all contacts side by side,
a journal instead of a data base. `--variant` makes it conform in yet another way, `--fault` makes it wrong in
one. The suite must accept every variant and catch every fault; `run.sh` beside this file sees to that.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import re
import secrets
import signal
import socket
import sys
import time
import urllib.parse
from datetime import datetime, timezone

from catalogue import CHOSEN, FAULTS, POLICY, VARIANTS, on
from sip import (DOMAINS, HOP, KEEPING_HOP, KNOWN, REASON, SINGLE, Refused, Sip, account_of, address, canonical, iso,
                 parse_via, read_date, sip_date, split_list, split_params, unfold, write, write_params)
from sessions import ALLOW, Sessions

# ---- the store ------------------------------------------------------------------------------------------


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
        """What a restart does to sessions that it broke, and faults that show after it."""
        for record in self.records.values():
            if record["state"] == "held":
                record["state"] = "deleted" if self.policy["lm.no_bye"] == "drop" else "waiting"
                if record["at"] is None and record["seconds"] is not None:
                    record["at"] = self.now() + record["seconds"]
            if on("session-body-lost-at-restart") and record.get("kind") == "session":
                record["body"] = ""
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

    def write(self, do, **entry):
        line = json.dumps({"do": do, **entry}) + "\n"
        if on("durable-late") and do == "add":
            asyncio.get_running_loop().call_later(0.4, lambda: (self.journal.write(line), self.journal.flush()))
            return
        self.journal.write(line)
        self.journal.flush()
        if do == "add":
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

    def lifetime(self, message, received, default_key="expire.default.pm"):
        """Seconds and instant of the mark, or None twice; refuses what the policy refuses."""
        p = self.policy
        fields = [unfold(value) for value in message.fields("Expires")]
        default = p[default_key]
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

    # -- records of sessions

    def add_session(self, session, part, kept, hold):
        """Stores a message that came through a session; it is on disk when this returns."""
        invite, account, policy = session.invite, session.account, self.policy
        if on("session-invite-of-other") and getattr(session, "other", None):
            invite = session.other.invite
        if on("account-of-sender"):
            account = account_of(address(invite.get("From"))[1])
        fields = [] if policy["lm.expires.honoured"] == "no" else chosen_expires(part, policy["lm.expires.chunk"])
        if on("lm-expires-from-invite"):
            fields = invite.fields("Expires")
        if on("lm-expires-ignored"):
            fields = []
        view = Sip(invite.start, [(n, v) for n, v in invite.headers
                                  if canonical(n).lower() in ("from", "to", "call-id", "message-id")]
                   + [("Expires", value) for value in fields]
                   + [(n, v) for n, v in part["send"]["headers"] if n.lower() == "content-type"], part["body"])
        base = {"completion": part["completed"], "first-chunk": part["arrived"], "bye": part["completed"]}[policy["lm.base"]]
        if on("lm-clock-first-chunk"):
            base = part["arrived"]
        if on("lm-clock-invite"):
            base = session.began
        seconds, at = self.lifetime(view, base, "expire.default.pm" if on("lm-pm-default") else "expire.default.lm")
        if on("lm-default-of-its-own") and seconds is None:
            seconds, at = 3600, base + 3600
        late_base = policy["lm.base"] == "bye" or on("lm-clock-bye")
        if on("zero-never-stored") and seconds == 0:
            return None
        headers = stored_headers(invite, session.began)
        if on("subject-from-sdp") and not invite.get("Subject"):
            headers.append(["Subject", session.sdp_subject or "-"])
        if on("subject-from-cpim") and (match := re.search(rb"(?m)^Subject: *(.*?)\r?$", part["body"])):
            headers = [h for h in headers if h[0].lower() != "subject"] + [["Subject", match[1].decode("latin-1")]]
        received = part["completed"]
        if on("stamp-invite"):
            received = session.began
        if on("stamp-first-chunk"):
            received = part["arrived"]
        if on("stamp-date") and invite.get("Date"):
            received = read_date(invite.get("Date")) or received
        send = kept["send"]
        if on("send-of-other"):
            send, self.last_send = getattr(self, "last_send", send), send
        if on("send-headers-lost"):
            send["headers"] = [h for h in send["headers"] if h[0].lower() in (
                "to-path", "from-path", "message-id", "byte-range", "content-type", "success-report", "failure-report")]
        if on("send-type-bare"):
            for header in send["headers"]:
                if header[0].lower() == "content-type":
                    header[1] = header[1].split(";")[0]
        if on("send-range-lost"):
            send["headers"] = [h for h in send["headers"] if h[0].lower() not in ("byte-range", "message-id")]
        ok = [list(h) if on("octet") else [canonical(h[0]), unfold(h[1])] for h in session.ok.headers] \
            if session.ok else []
        if on("ok-tag-other"):
            ok = [[n, re.sub("tag=.*", "tag=" + secrets.token_hex(4), v) if n == "To" else v] for n, v in ok]
        if on("ok-tag-lost"):
            ok = [[n, re.sub(";tag=.*", "", v) if n == "To" else v] for n, v in ok]
        if on("ok-headers-lost"):
            ok = []
        key = secrets.token_hex(8)
        record = {
            "key": key, "number": self.counter + 1, "id": self.message_id(view, account), "kind": "session",
            "account": account, "uri": invite.start.split(" ")[1],
            "headers": relevant(headers, policy["lm.invite_headers"], FIVE), "send": send, "chunks": kept["chunks"],
            "ok": relevant(ok, policy["lm.ok_headers"]), "bye": None,
            "body": stored_body(view).decode("latin-1"), "received": received, "stored": self.now(),
            "seconds": seconds, "at": None if late_base else at, "raw": fields[0] if fields else None,
            "state": "held" if hold else "waiting", "sender": address(invite.get("From"))[1]}
        if on("msrp-id-as-id"):
            record["id"] = f"sip:{part['ident']}@mailstore1.{DOMAINS[0]}"
        if on("session-ids-missing"):
            record["id"] = ""
        if on("session-ids-all-the-same"):
            record["id"] = "sip:session@mailstore1." + DOMAINS[0]
        self.records[key] = record
        if not on("session-not-durable"):
            self.write("add", **record)
        return record

    def copy(self, record):
        """Faults store a message twice."""
        other = {**record, "key": secrets.token_hex(8), "id": "sip:" + secrets.token_hex(6) + "@mailstore1." + DOMAINS[0]}
        self.records[other["key"]] = other
        return other

    def session_ended(self, record, bye, session):
        """What the end of its session does to a record."""
        values = {}
        if bye is not None and not on("bye-headers-lost"):
            if on("bye-of-other"):
                bye, self.last_bye = getattr(self, "last_bye", bye), bye
            values["bye"] = relevant(stored_headers(bye, self.now()), self.policy["lm.bye_headers"])
            values["bye_start"] = bye.start
        if bye is None and on("bye-invented"):
            values["bye"], values["bye_start"] = [["Call-ID", session.invite.get("Call-ID")]], f"BYE {record['uri']} SIP/2.0"
        if record["at"] is None and record["seconds"] is not None:
            values["at"] = self.now() + record["seconds"]
        if record["state"] == "held":
            dropped = bye is None and self.policy["lm.no_bye"] == "drop" and not on("no-bye-kept")
            values["state"] = "deleted" if dropped else "waiting"
        if bye is None and on("no-bye-dropped"):
            values["state"] = "deleted"
        if on("stamp-bye"):
            values["received"] = self.now()
        if on("session-not-durable"):
            self.write("add", **record)
        self.change(record, **values)


FIVE = ("from", "to", "p-asserted-identity", "subject", "date")


def relevant(headers, names, always=()):
    """The header fields that the provider calls relevant; `all` stands for every one."""
    names = {canonical(name).lower() for name in names}
    return [h for h in headers if "all" in names or canonical(h[0]).lower() in names
            or h[0].lower() in always or h[0].lower() == "x-stored-by"]


def chosen_expires(part, which):
    """The Expires that counts where chunks differ (lm.expires.chunk)."""
    def of(head):
        return [v for n, v in head["headers"] if n.lower() == "expires"]
    if on("lm-expires-last"):
        which = "last"
    if on("lm-expires-first"):
        which = "first"
    if which == "first":
        return of(part["send"])
    if which == "last":
        return of(part["chunks"][-1])
    values = [v for head in part["chunks"] for v in of(head)]
    if which == "min":
        values.sort(key=lambda v: int(v) if v.isdecimal() else 2 ** 40)
    return values[:1]


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
        if not octets:
            return
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
        self.sessions = Sessions(self, args.msrp)
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
            take = self.sessions.clients.get(via[3].get("branch"))
            if take and (message.get("CSeq") or "").upper().endswith("INVITE"):
                take(message)
                return
            future = self.clients.get(via[3].get("branch"))
            status = int(message.start.split(" ")[1])
            if future and not future.done() and status >= 200:
                future.set_result(status)
            return
        if message.method == "INVITE":
            self.sessions.invited(message, peer, via)
            return
        if message.method == "ACK":
            self.sessions.acknowledged(message, via)
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

    def response(self, message, peer, status, headers, tag=None, body=b""):
        if any(message.get(name) is None for name in ("To", "From", "Call-ID", "CSeq")):
            return b""  # There is nothing to mirror.
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
                to += ";tag=" + (tag or getattr(message, "tag", None) or secrets.token_hex(4))
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
        if message.method == "INVITE" and status < 300:
            fields += [("Record-Route", unfold(v)) for v in message.fields("Record-Route")]
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
        if not octets:
            return
        if peer[0] == "tcp":
            peer[1].send(octets)
            return
        to = peer[1]
        if via and (on("no-rport") or "rport" not in via[3]):
            to = (to[0], via[2] or 5060)
        self.udp.sendto(octets, to)

    # -- requests

    def check(self, message):
        """Refuses what is malformed."""
        if message.broken:
            raise Refused(400)
        for name in ("To", "From", "Call-ID", "CSeq"):
            if len(message.fields(name)) != 1:
                raise Refused(400)
        cseq = re.fullmatch(r"(\d+)\s+(\S+)", message.get("CSeq"))
        if not cseq or cseq[2] != message.method or int(cseq[1]) >= 2 ** 31:
            raise Refused(400)
        if not re.fullmatch(r"\S+ \S+ SIP/2\.0", message.start, re.I) or "\0" in "".join(v for _, v in message.headers):
            raise Refused(400)

    async def handle(self, message, peer):
        self.check(message)
        match message.method:
            case "REGISTER":
                return self.register(message, peer)
            case "MESSAGE":
                return await self.message(message)
            case "OPTIONS":
                return 200, [("Allow", ALLOW), ("Accept", "application/sdp, text/plain, message/cpim")], None
            case "BYE":
                status = self.sessions.ended(message)
                return (None if on("bye-unanswered") else status), [], None
            case "CANCEL":
                message.tag = self.sessions.cancel(message, parse_via(message.vias()[0]))
                return 200, [], None
        raise Refused(405, ("Allow", ALLOW))

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
        if message.get("Require"):
            raise Refused(420, ("Unsupported", message.get("Require")))
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
                if not re.fullmatch(r"sips?:[^\s<>?]+", uri, re.I):
                    raise Refused(400)
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
        if "pager" not in self.store.policy["store.modes"] and not self.online(account):
            raise Refused(480)
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
            self.wake(account)
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

    def wake(self, account):
        """A message waits: whoever is there gets it."""
        for binding in self.online(account):
            self.kick(account, binding["uri"])

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
                    if on("session-late-never") and record.get("late") and record.get("kind") == "session":
                        continue
                    if on("batch-of-ten") and count > 10:
                        return
                    if not record.get("late") and self.granular_late(record):
                        continue
                    if on("all-at-once"):
                        self.spawn(self.offer(record, binding, worker))
                        continue
                    if on("one-session") and not record.get("late") and self.by_session(record):
                        batch = [r for r in waiting if not r.get("late") and self.by_session(r)
                                 and not self.granular_late(r)]
                        tried.update(r["key"] for r in batch)
                        async with self.locks.setdefault(binding["uri"], asyncio.Lock()):
                            await self.sessions.deliver(batch, binding)
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
            if self.delivered(record):
                binding["peer"][0] == "tcp" and binding["peer"][1].__dict__.setdefault("took", []).append(record)
                if on("imdn-failed-after-delivery"):
                    self.spawn(self.notice_to(record["sender"], "failed: could not be delivered"))
            return False
        if on("failure-drops") or on("session-failure-drops") and self.by_session(record) or on("failure-480-drops") and status == 480 \
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

    def delivered(self, record):
        """Whether this was the first contact that took it."""
        if record.get("state") != "waiting":
            return False
        self.store.change(record, state="delivered")
        self.sessions.delivered(record)
        return True

    def by_session(self, record):
        """Whether a message goes out by a session: all do, or those that are too large for a MESSAGE."""
        if "state" not in record:
            return False  # a notice, or a MESSAGE that is passed on to somebody who is there
        if self.store.policy["delivery.form"] == "session":
            return True
        if record.get("kind") != "session":
            return False
        whole = max(len(p["body"]) for p in [record, *record.get("further", [])])
        whole += sum(len(n) + len(v) + 4 for n, v in record["headers"]) + 400
        return whole > (60_000 if on("large-messages") else 1300)

    def parts(self, record):
        """What goes out by MSRP: header fields of the SEND and octets, one pair for each message of the record."""
        late = record.get("late")
        for part in [record, *record.get("further", [])]:
            if "send" in part:
                headers = [(n, v) for n, v in part["send"]["headers"] if n.lower() not in (
                    "to-path", "from-path", "message-id", "byte-range", "success-report", "failure-report", "expires",
                    "status", "authorization", "www-authenticate", "authentication-info", "use-path")]
            else:
                headers = [(n, unfold(v)) for n, v in record["headers"]
                           if canonical(n).lower().startswith("content-") and canonical(n) != "Content-Length"]
                headers = [(canonical(n), v) for n, v in headers]
            expires = self.expires(record)
            if expires is not None:
                headers.append(("Expires", expires))
            if late and on("late-mark-on-send") and self.mark(record):
                headers.append(self.mark(record))
            yield headers, self.body(record, part["body"].encode("latin-1"))

    def expires(self, record):
        """Expires as it is delivered, or None."""
        source = record["send"]["headers"] if "send" in record else record["headers"]
        expires = next((unfold(v) for n, v in source if n.lower() == "expires"), None)
        how = self.store.policy["delivery.expires"]
        if on("delivery-expires-wrong") and expires:
            return "3600"
        if how == "remaining" and record["at"] is not None:
            return str(max(0, int(record["at"] - self.store.now())))
        return expires if how == "as-stored" and expires else None

    def mark(self, record):
        """The header field that says that a message has expired, or None."""
        late, mark = record.get("late"), self.store.policy["policy.indication"]
        show = late or on("indicates-fresh")
        if on("indication-sticks"):
            self.stuck = getattr(self, "stuck", False) or late
            show = self.stuck
        if show and mark.startswith("header:") and not on("indication-missing"):
            return "X-Wrong" if on("indication-elsewhere") else mark[7:], "yes"
        return None

    def body(self, record, body):
        late = record.get("late")
        if (late or on("indicates-fresh")) and self.store.policy["policy.indication"] == "body" and self.plain(record) \
                and not on("indication-missing"):
            body = b"[expired] " + body
        if on("offline-prefix") and self.plain(record):
            body = b"[Offline message] " + body
        if on("late-body-prefix") and late:
            body = b"(late) " + body
        return b"" if on("late-body-lost") and late else body

    def cpim_date(self, at):
        return iso(at)[:19] + "Z"

    def session_fields(self, records, tag):
        """From and the header fields of the INVITE that brings these messages."""
        if on("one-session"):
            return f'"Message store" <sip:store@{DOMAINS[0]}>;tag={tag}', []
        from_, mine, kept = self.fields(records[0])
        from_ = re.sub(r";tag=[^;]*$", "", from_) + ";tag=" + tag
        mark = self.mark(records[0])
        if mark and not on("late-mark-on-send"):
            kept.append(mark)
        return from_, mine + [(n, v) for n, v in kept if not n.lower().startswith(("content-", "mime-"))]

    def via(self, transport, branch):
        return "Via", f"SIP/2.0/{transport.upper()} 127.0.0.1:{self.args.sip};branch={branch};rport"

    def fields(self, record):
        """From, what is said of the sender besides, and the other header fields of a delivery."""
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
                      "p-preferred-identity", "supported", "allow", "accept", "session-expires", "min-se"}
        if "send" in record:
            # What an INVITE says of its own body is not said of the message.
            drop |= {"content-type", "content-disposition", "content-encoding", "content-language", "content-id",
                     "mime-version"}
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
        if not any(n.lower() == "date" for n, _ in kept) and not on("no-date-added"):
            kept.append(("Date", sip_date(record["received"])))
        return from_, mine, kept

    def delivery(self, record, part, binding, via):
        """The new MESSAGE for a stored message (modelled on RFC 5365 §7.2)."""
        from_, mine, kept = self.fields(record)
        if "send" in part:
            kept += [(n, v) for n, v in part["send"]["headers"] if n.lower().startswith("content-")]
        body = self.body(record, part["body"].encode("latin-1"))
        expires = self.expires(record)
        if expires is not None:
            kept.append(("Expires", expires))
        mark = self.mark(record)
        if mark:
            kept.append(mark)
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
        source = record["send"]["headers"] if "send" in record else record["headers"]
        kind = next((v for n, v in source if n.lower() == "content-type"), "")
        return kind.lower().startswith("text/plain")

    async def attempt(self, record, binding):
        """Sends one request to one contact; the status, or None where none came."""
        lock = asyncio.Lock() if on("all-at-once") else self.locks.setdefault(binding["uri"], asyncio.Lock())
        async with lock:
            if self.by_session(record):
                return await self.sessions.deliver([record], binding)
            for part in [record, *record.get("further", [])]:
                status = await self.request(binding, lambda via, part=part: self.delivery(record, part, binding, via))
                if status is None or status >= 300:
                    break
            return status

    def host_port(self, uri):
        match = re.match(r"sips?:(?:[^@]*@)?(\[[^\]]*\]|[^:;?]+)(?::(\d+))?", uri, re.I)
        return match[1].strip("[]"), int(match[2] or 5060)

    async def connection_to(self, binding, registered):
        """A connection for requests to a contact: the one that it registered over, where it asked for TCP."""
        peer = binding["peer"]
        if registered and peer[0] == "tcp" and peer[1].open and not on("tcp-connects"):
            return peer[1]
        return await self.connect(*self.host_port(binding["uri"]))

    async def request(self, binding, make):
        """Sends a request that `make` writes for a transport and a branch; its final status or None."""
        branch = "z9hG4bK" + secrets.token_hex(8)
        host, port = self.host_port(binding["uri"])
        tcp = "transport=tcp" in binding["uri"].lower()
        octets, branch = make(("tcp" if tcp else "udp", branch))
        if len(octets) > 1300 and not tcp and not on("big-by-udp"):
            # RFC 3261 §18.1.1: large requests by TCP, and by UDP again where nobody listens.
            by_tcp, other = make(("tcp", branch + "t"))
            connection = await self.connect(host, port)
            if connection:
                return await self.by_tcp(connection, by_tcp, other)
        if tcp:
            connection = await self.connection_to(binding, True)
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
                    octets, branch = make(("udp", "z9hG4bK" + secrets.token_hex(8)))
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
                return 200, {"status": "ok", "server": "peer", "version": "2", "domain": DOMAINS[0],
                             "msrp": {"tcp": [f"127.0.0.1:{SERVER.args.msrp}"], "tls": []}}
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
                return 200, {"messages": [self.shown(r) for r in records if r["state"] != "held"]}
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
        if record["at"] is not None or record["seconds"] is not None:
            expire = {"at": instant(record["at"])} if record["at"] is not None else {"seconds": record["seconds"]}
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
        if "send" in record:
            self.show_session(shown, record, value, instant)
        if on("id-new-each-time"):
            shown["message_id"] = secrets.token_hex(6) + "@mailstore1." + DOMAINS[0]
        for variant, keys in (("unknown-body", ["body"]), ("unknown-headers", ["headers", "headers_complete"]),
                              ("unknown-content", ["headers", "headers_complete", "body"]),
                              ("unknown-mark", ["expire"]), ("unknown-id", ["message_id"]),
                              ("unknown-state", ["state"]), ("unknown-times", ["received_at", "stored_at"]),
                              ("unknown-start", ["start_line"])):
            if on(variant):
                for key in keys:
                    shown.pop(key, None)
                    if key in ("headers", "headers_complete") and "send" in record:
                        for part in ("invite", "ok", "bye", "send", "chunks"):
                            shown.pop(part, None)
                    if key == "body":
                        for one in shown.get("further", ()):
                            one.pop("body", None)
        if on("unknown-some-headers") and "send" in record:
            for part in ("invite", "ok", "bye", "send"):
                if shown.get(part):
                    shown[part]["headers"] = [h for h in shown[part]["headers"]
                                              if h["name"] in ("From", "To", "Call-ID", "To-Path", "Content-Type")]
                    shown[part]["headers_complete"] = False
            shown.pop("chunks", None)
        elif on("unknown-some-headers"):
            shown["headers"] = [h for h in shown["headers"] if h["name"] in ("From", "To", "Call-ID")]
            shown["headers_complete"] = False
        return shown

    def show_session(self, shown, record, value, instant):
        """The parts of a record that came through a session."""
        def head(start, headers):
            return {"start_line": start, "headers": [{"name": n, **value(v)} for n, v in headers],
                    "headers_complete": True}

        def body(text):
            octets = text.encode("latin-1")
            if len(octets) > 2 ** 20 or on("shown-digests"):
                return {"octets": len(octets), "sha256": hashlib.sha256(octets).hexdigest()}
            return {"base64": base64.b64encode(octets).decode()}

        def part(one):
            shown = {"send": head(one["send"]["start"], one["send"]["headers"]), "body": body(one["body"])}
            if len(one["chunks"]) > 1 and not on("shown-no-chunks"):
                shown["chunks"] = [head(c["start"], c["headers"]) for c in one["chunks"]]
            if on("shown-send-incomplete"):
                shown["send"]["headers"] = [h for h in shown["send"]["headers"] if h["name"] in (
                    "Message-ID", "Content-Type")]
                shown["send"]["headers_complete"] = False
                shown.pop("chunks", None)
            return shown
        shown["kind"] = "session"
        del shown["start_line"], shown["headers"], shown["headers_complete"]
        shown.update(part(record))
        shown["invite"] = head(f"INVITE {record['uri']} SIP/2.0", record["headers"])
        shown["ok"] = head("SIP/2.0 200 OK", record["ok"])
        shown["bye"] = None if record["bye"] is None else head(record["bye_start"], record["bye"])
        shown["stored_at"] = instant(record["stored"])
        if record.get("further"):
            shown["further"] = [part(one) for one in record["further"]]
        if on("shown-no-bye"):
            del shown["bye"]
        if on("shown-no-ok"):
            del shown["ok"]


# ---- start ----------------------------------------------------------------------------------------------

SERVER: Server


async def listen(serve, port, **options):
    """Listens; while the server was down a connection of somebody else may have taken the port for a moment."""
    for patience in range(50, -1, -1):
        try:
            return await asyncio.start_server(serve, "127.0.0.1", port, **options)
        except OSError:
            if not patience:
                raise
            await asyncio.sleep(0.1)


async def main():
    global SERVER
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sip", type=int, required=True, help="port for UDP and TCP")
    parser.add_argument("--control", type=int, help="port of the control API")
    parser.add_argument("--msrp", type=int, required=True, help="port for MSRP over TCP")
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
    # Requests that nobody sends twice (an ACK, octets of `raw`) must wait while a large message is looked at.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)

    async def accepted(reader, writer):
        await Connection(reader, writer).read()
    await listen(accepted, args.sip)
    await listen(SERVER.sessions.accepted, args.msrp)
    if args.control:
        await listen(Control(store).serve, args.control, limit=4_000_000)
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
