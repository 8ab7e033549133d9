#!/usr/bin/env python3
"""A small SIP server that keeps deferred messages where a CPM message store does: in a mailbox for each user, by IMAP, wrapped in
message/cpim. It is here so that the store adapter `imap` has something to read at an IMAP server that nobody here wrote.

    server.py PORT            with IMSPEC_IMAP and IMSPEC_PASSWORD in the environment

Each message is appended to INBOX of its recipient before the 202 goes out. A REGISTER brings what waits, one after the other;
what was taken with 200 gets the flag \\Seen. Registrations last until they are taken back. Nothing expires.
"""

import imaplib
import os
import queue
import re
import secrets
import socket
import sys
import threading
import time

HOST, PORT = os.environ["IMSPEC_IMAP"].rsplit(":", 1)
KEPT = ["Subject", "Expires", "Date", "Priority", "Organization", "User-Agent", "P-Asserted-Identity"]


def mailbox(user):
    box = imaplib.IMAP4(HOST, int(PORT))
    box.login(f'"{user}"', os.environ["IMSPEC_PASSWORD"])
    box.select("INBOX")
    return box


def parse(octets):
    head, _, body = octets.partition(b"\r\n\r\n")
    first, *lines = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "surrogateescape")).split("\r\n")
    names = {"f": "From", "t": "To", "v": "Via", "i": "Call-ID", "m": "Contact", "c": "Content-Type", "l": "Content-Length", "s": "Subject"}
    fields = []
    for line in lines:
        name, _, value = line.partition(":")
        name = names.get(name.strip(), name.strip())
        fields.append((name, value.strip()))
    return first, fields, body


def of(fields, name):
    return next((value for key, value in fields if key.lower() == name.lower()), "")


class Server:
    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.port, self.contacts, self.answered, self.waits, self.locks = port, {}, {}, {}, {}

    def serve(self):
        while True:
            octets, peer = self.socket.recvfrom(65536)
            if not octets.strip():
                continue
            threading.Thread(target=self.take, args=(octets, peer), daemon=True).start()

    def take(self, octets, peer):
        first, fields, body = parse(octets)
        if first.startswith("SIP/2.0 "):
            waiting = self.waits.get(of(fields, "Call-ID"))
            if waiting and first.split(" ")[1] >= "200":
                waiting.put(first.split(" ")[1])
            return
        method = first.split(" ")[0]
        # A retransmission has the answer of its request, or none yet.
        key = (of(fields, "Via"), of(fields, "CSeq"))
        if key in self.answered:
            if self.answered[key]:
                self.socket.sendto(self.answered[key], peer)
            return
        self.answered[key] = b""
        if method == "ACK":
            return
        status, more = {"REGISTER": self.register, "MESSAGE": self.message}.get(method, self.other)(first, fields, body)
        to = of(fields, "To")
        lines = [f"SIP/2.0 {status}", *(f"Via: {value}" for name, value in fields if name == "Via"), f"From: {of(fields, 'From')}",
                 f"To: {to if ';tag=' in to else to + ';tag=' + secrets.token_hex(4)}", f"Call-ID: {of(fields, 'Call-ID')}",
                 f"CSeq: {of(fields, 'CSeq')}", *more, "Content-Length: 0", "", ""]
        self.answered[key] = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        self.socket.sendto(self.answered[key], peer)

    def other(self, first, fields, body):
        return ("200 OK" if first.startswith("OPTIONS") else "405 Method Not Allowed"), ["Allow: OPTIONS, REGISTER, MESSAGE"]

    def register(self, first, fields, body):
        user = re.search(r"sips?:([^@>;]*)@", of(fields, "To"))[1]
        contact = re.search(r"<([^>]*)>([^,]*)", of(fields, "Contact"))
        expires = re.search(r"expires=(\d+)", contact[2]) if contact else None
        expires = expires[1] if expires else of(fields, "Expires") or "3600"
        if of(fields, "Contact") == "*" or (contact and expires == "0"):
            self.contacts.pop(user, None)
        elif contact:
            self.contacts[user] = contact[1]
            threading.Thread(target=self.bring, args=(user,), daemon=True).start()
        bound = self.contacts.get(user)
        return "200 OK", [f"Contact: <{bound}>;expires={expires}"] if bound else []

    def message(self, first, fields, body):
        user = re.search(r"sips?:([^@>;]*)@", first)
        if not user:
            return "404 Not Found", []
        kept = [(name, value) for name, value in fields if name in KEPT or name.startswith("X-")]
        inner = (f"From: {of(fields, 'From').split(';tag')[0]}\r\nTo: {of(fields, 'To')}\r\n\r\n"
                 f"Content-Type: {of(fields, 'Content-Type')}\r\n\r\n").encode("utf-8", "surrogateescape")
        outer = [("From", of(fields, "From")), ("To", of(fields, "To")), *kept, ("IMDN-Message-ID", secrets.token_hex(8)),
                 ("Content-Type", "message/cpim")]
        head = "".join(f"{name}: {value}\r\n" for name, value in outer).encode("utf-8", "surrogateescape")
        box = mailbox(user[1])
        done, _ = box.append("INBOX", "", imaplib.Time2Internaldate(time.time()), head + b"\r\n" + inner + body)
        box.logout()
        if done != "OK":
            return "503 Service Unavailable", []
        if user[1] in self.contacts:
            threading.Thread(target=self.bring, args=(user[1],), daemon=True).start()
        return "202 Accepted", []

    def bring(self, user):
        """What waits for a user, oldest first; one that is not taken ends it."""
        with self.locks.setdefault(user, threading.Lock()):
            box = mailbox(user)
            for number in box.search(None, "UNSEEN")[1][0].split():
                octets = box.fetch(number, "(BODY.PEEK[])")[1][0][1]
                if user not in self.contacts or not self.push(self.contacts[user], user, octets):
                    break
                box.store(number, "+FLAGS", r"(\Seen)")
            box.logout()

    def push(self, contact, user, octets):
        _, outer, inner = parse(b"x\r\n" + octets)
        cpim_end = inner.index(b"\r\n\r\n") + 4
        _, content, body = parse(b"x\r\n" + inner[cpim_end:])
        call, waiting = secrets.token_hex(8), queue.Queue()
        self.waits[call] = waiting
        kept = [f"{name}: {value}" for name, value in outer if name in KEPT or name.startswith("X-")]
        sender = re.sub(r";tag=[^;]*", "", of(outer, "From"))
        lines = [f"MESSAGE {contact} SIP/2.0", f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{secrets.token_hex(8)}",
                 "Max-Forwards: 70", f"From: {sender};tag={secrets.token_hex(4)}", f"To: {of(outer, 'To')}", f"Call-ID: {call}",
                 "CSeq: 1 MESSAGE", *kept, f"Content-Type: {of(content, 'Content-Type')}", f"Content-Length: {len(body)}", "", ""]
        request = "\r\n".join(lines).encode("utf-8", "surrogateescape") + body
        where = re.search(r"@?([\d.]+):(\d+)", contact)
        try:
            for pause in (0.5, 1, 2, 4):
                self.socket.sendto(request, (where[1], int(where[2])))
                try:
                    return waiting.get(timeout=pause).startswith("2")
                except queue.Empty:
                    pass
            return False
        finally:
            del self.waits[call]


if __name__ == "__main__":
    Server(int(sys.argv[1])).serve()
