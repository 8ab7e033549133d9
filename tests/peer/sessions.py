"""Message sessions of the peer server: INVITE and its dialogs, messages that come through MSRP into the store,
and stored messages that go out through MSRP."""

import asyncio
import hashlib
import random
import re
import secrets
import time

import sdp
from catalogue import on
from msrp import Assembly, MsrpConnection, parse_uri, session_id, write_frame
from sip import (DOMAINS, Refused, Sip, account_of, address, parse_via, sip_date, split_list, unfold, write)

ALLOW = "INVITE, ACK, CANCEL, BYE, MESSAGE, OPTIONS, REGISTER"


def tag_of(value):
    return dict((k.lower(), v) for k, v in address(value or "")[2]).get("tag")


class Transaction:
    """An INVITE that came, and its answers (RFC 3261 §17.2.1, RFC 6026)."""

    def __init__(self, sessions, message, peer, via):
        self.sessions, self.message, self.peer, self.via = sessions, message, peer, via
        self.tag, self.last, self.status = secrets.token_hex(5), None, 0
        self.cancelled, self.acked = asyncio.Event(), asyncio.Event()

    def again(self):
        if self.last and not (self.acked.is_set() and self.status >= 300):
            self.sessions.server.send(self.last, self.peer, self.via)

    def respond(self, status, headers=(), body=b"", tag=True):
        octets = self.sessions.server.response(
            self.message, self.peer, status, list(headers), tag=self.tag if tag else None, body=body)
        self.pass_on(octets, status)
        return octets

    def pass_on(self, octets, status, repeat=True):
        if self.status >= 200 and status < 200:
            return
        self.last, self.status = octets, status
        self.sessions.server.send(octets, self.peer, self.via)
        if status >= 200 and repeat and (status < 300 or self.peer[0] == "udp"):
            self.sessions.server.spawn(self.repeat(octets))

    async def repeat(self, octets):
        """A final answer is sent again until the ACK comes."""
        t1 = self.sessions.server.args.t1
        wait, end = t1, time.monotonic() + 64 * t1
        while time.monotonic() < end:
            try:
                await asyncio.wait_for(self.acked.wait(), wait)
                if not on("ok-ignores-ack") or self.status >= 300:
                    return
                await asyncio.sleep(wait)
            except asyncio.TimeoutError:
                pass
            wait = min(2 * wait, 8 * t1)
            if not on("ok-once"):
                self.sessions.server.send(octets, self.peer, self.via)
        if self.status < 300 and not self.acked.is_set():
            await self.sessions.unacknowledged(self)


class Dialog:
    """One dialog, whichever side began it (RFC 3261 §12)."""

    def __init__(self, call, local, remote, target, route, peer, cseq, theirs):
        self.call, self.local, self.remote, self.target = call, local, remote, target
        self.route, self.peer, self.cseq, self.theirs = route, peer, cseq, theirs
        self.session, self.over, self.transaction = None, False, None

    def key(self):
        return self.call, tag_of(self.local), tag_of(self.remote)


class Session:
    """One MSRP session: `mine` is this end's URI, `path` the other end's."""

    def __init__(self, sessions, account=None):
        self.id = session_id()
        self.mine = f"msrp://127.0.0.1:{sessions.port}/{self.id};tcp"
        self.account, self.path, self.connection, self.dialog = account, [], None, None
        self.bound = asyncio.get_running_loop().create_future()
        self.assemblies, self.records, self.over, self.failed = {}, [], False, False
        self.invite, self.ok, self.began, self.reports, self.outgoing = None, None, 0, {}, False
        self.types, self.aborted = "*", set()


class Sessions:
    def __init__(self, server, port):
        self.server, self.port = server, port
        self.transactions, self.dialogs, self.sessions = {}, {}, {}
        self.clients = {}       # branch → what takes the responses to an INVITE
        self.seen, self.broken, self.due = {}, {}, {}
        self.latest = None

    @property
    def policy(self):
        return self.server.store.policy

    # -- INVITE, ACK, CANCEL, BYE

    def invited(self, message, peer, via):
        key = (via[3].get("branch"), via[1], via[2])
        known = self.transactions.get(key)
        if known and not on("invite-again-new-session"):
            if not on("retransmissions-absorbed"):
                known.again()
            if on("invite-again-doubles"):
                known.doubled = True
            return
        transaction = self.transactions[key] = Transaction(self, message, peer, via)
        asyncio.get_running_loop().call_later(64 * self.server.args.t1, self.transactions.pop, key, None)
        self.server.spawn(self.serve(transaction))

    async def serve(self, transaction):
        message = transaction.message
        loop = asyncio.get_running_loop()
        trying = loop.call_later(
            0 if on("trying-at-once") else 1.5 * self.server.args.t1,
            lambda: transaction.status or transaction.respond(100, tag=False))
        try:
            self.server.check(message)
            if tag_of(message.get("To")):
                await self.again(transaction)
            else:
                await self.first(transaction)
        except Refused as why:
            transaction.respond(why.status, why.headers)
        finally:
            trying.cancel()

    def acknowledged(self, message, via):
        known = self.transactions.get((via[3].get("branch"), via[1], via[2]))
        if known and known.status >= 300:
            known.acked.set()
            return
        dialog = self.dialogs.get((message.get("Call-ID"), tag_of(message.get("To")), tag_of(message.get("From"))))
        if dialog and dialog.transaction:
            dialog.transaction.acked.set()
            if message.body and dialog.session and not dialog.session.path:
                try:
                    _, media, _ = sdp.read(message.body)
                    self.agree(dialog.session, next(m for m in media if m.kind == "message" and m.port))
                except (ValueError, StopIteration):
                    self.server.spawn(self.bye(dialog))

    def cancel(self, message, via):
        """The status of the CANCEL (RFC 3261 §9.2)."""
        known = self.transactions.get((via[3].get("branch"), via[1], via[2]))
        if known is None or on("cancel-481"):
            raise Refused(481)
        if known.status < 200:
            known.cancelled.set()
        return known.tag

    def ended(self, message):
        """A BYE."""
        key = (message.get("Call-ID"), tag_of(message.get("To")), tag_of(message.get("From")))
        dialog = self.dialogs.get(key)
        if dialog is None or dialog.over or on("bye-481"):
            raise Refused(481)
        cseq = int(message.get("CSeq").split()[0])
        if cseq <= dialog.theirs:
            raise Refused(500)
        dialog.theirs, dialog.over = cseq, True
        if dialog.session:
            self.finish(dialog.session, message)
        return 200

    def check_user(self, message):
        """The account that an INVITE is for."""
        if message.get("Require"):
            raise Refused(420, ("Unsupported", message.get("Require")))
        if message.get("Max-Forwards") == "0":
            raise Refused(483)
        uri = message.start.split(" ")[1]
        if on("account-from-to"):
            uri = address(message.get("To"))[1]
        account = self.server.account(uri)
        if on("strict"):
            self.server.be_strict(message, "application/sdp")
        if on("local-senders") and account_of(address(message.get("From"))[1]).partition("@")[2] not in DOMAINS:
            raise Refused(403)
        if on("quota") and len(self.server.store.waiting(account)) >= 5:
            raise Refused(480, ("Retry-After", "3600"))
        return account

    async def first(self, transaction):
        message = transaction.message
        account = self.check_user(message)
        if self.server.online(account) and not on("takes-online-sessions"):
            if not await self.pass_on(transaction, account):
                return
        if "session" not in self.policy["store.modes"]:
            raise Refused(480)
        if on("refuses-without-subject") and not message.get("Subject"):
            raise Refused(400)
        contact = message.get("Contact")
        if not contact:
            raise Refused(400)
        session = Session(self, account)
        session.invite, session.began = message, self.server.store.now()
        if on("path-same"):
            session.id = "thestore0123456789"
            session.mine = f"msrp://127.0.0.1:{self.port}/{session.id};tcp"
        body = self.answer(session, message)
        if on("rings"):
            transaction.respond(180, [("Contact", self.contact())])
        slow = any(map(on, ("slow-answer", "cancelled-kept", "cancel-481", "cancel-ignored", "cancel-no-487")))
        pause = 0.3 if slow else 0.1 if on("rings") else 0
        if pause:
            try:
                await asyncio.wait_for(transaction.cancelled.wait(), pause)
            except asyncio.TimeoutError:
                pass
        if transaction.cancelled.is_set() and not on("cancel-ignored"):
            if on("cancelled-kept"):
                self.keep(session, {"send": {"start": "MSRP none SEND", "headers": []}, "chunks": [], "body": b"",
                                    "arrived": session.began, "completed": session.began})
            if not on("cancel-no-487"):
                transaction.respond(487)
            return
        self.sessions[session.id] = session
        self.latest, before = session, self.latest
        session.other = before
        headers = [("Contact", self.contact()), ("Allow", ALLOW), ("Content-Type", "application/sdp")]
        if on("ok-without-contact"):
            del headers[0]
        if on("ok-asserts"):
            headers.append(("P-Asserted-Identity", f"<{account}>"))
        local = message.get("To") + f";tag={transaction.tag}" if "<" in message.get("To") \
            else f"<{address(message.get('To'))[1]}>;tag={transaction.tag}"
        dialog = Dialog(message.get("Call-ID"), local, message.get("From"), address(contact)[1],
                        [r for field in message.fields("Record-Route") for r in split_list(unfold(field))],
                        transaction.peer, 0, int(message.get("CSeq").split()[0]))
        dialog.session, dialog.transaction, session.dialog = session, transaction, dialog
        self.dialogs[dialog.key()] = dialog
        octets = transaction.respond(200, headers, body)
        session.ok = Sip.parse(octets, True)
        session.transaction = transaction
        if session.connects:
            self.server.spawn(self.connect_and_bind(session))

    def contact(self):
        return f"<sip:127.0.0.1:{self.server.args.sip}>"

    def answer(self, session, message):
        """Answers the offer of an INVITE, or makes one."""
        if not message.body:
            if on("offerless-refused"):
                raise Refused(488)
            session.connects = False
            return sdp.write(self.port, self.attributes(session, "recvonly", "actpass"))
        kind = (message.get("Content-Type") or "").split(";")[0].strip().lower()
        if kind != "application/sdp":
            raise Refused(415, ("Accept", "application/sdp"))
        try:
            lines, media, subject = sdp.read(message.body)
        except ValueError:
            raise Refused(400) from None
        session.sdp_subject = subject
        offered = next((m for m in media if m.kind == "message" and m.port and m.path()
                        and m.protocol.upper() == "TCP/MSRP" and m.get("accept-types")), None)
        if offered is None:
            raise Refused(488)
        try:
            where = parse_uri(offered.path()[0])
        except ValueError:
            raise Refused(400) from None
        if not on("cema") and offered.port != where[2] and offered.port != 9 \
                or not on("cema") and offered.address != where[1]:
            raise Refused(488)  # RFC 6714 §4.3: such an offer needs what this server has not
        self.agree(session, offered)
        direction = {"sendonly": "recvonly", "sendrecv": "recvonly", "recvonly": "inactive",
                     "inactive": "inactive"}[offered.direction(lines)]
        if on("answer-sendrecv"):
            direction = "sendrecv"
        if on("answer-direction-copied"):
            direction = offered.direction(lines)
        setup = (offered.get("setup") or "").lower()
        role = {"active": "passive", "passive": "active",
                "actpass": "passive" if on("passive-to-actpass") else "active"}.get(setup)
        if on("no-setup"):
            role = None
        session.connects = role == "active"
        if on("answer-setup-copied"):
            role = setup
        if on("answer-actpass"):
            role = "actpass"
        values = self.attributes(session, direction, role)
        if on("cema") and ("msrp-cema", None) in offered.lines:
            values.append(("msrp-cema", None))
        for key in ("file-selector", "file-transfer-id"):
            if offered.get(key):
                values.append((key, offered.get(key)))
        return sdp.write(self.port, values, [m for m in media if m is not offered], offered.place)

    def attributes(self, session, direction, role):
        session.types = "message/cpim text/* multipart/mixed multipart/alternative image/*" \
            if on("some-types") or on("types-not-looked-at") else "text/plain message/cpim *"
        values = [("accept-types", session.types), ("path", session.mine), (direction, None)]
        if on("some-types"):
            values.append(("accept-wrapped-types", "text/plain text/html *"))
        if on("answer-without-path"):
            del values[1]
        if on("answer-without-types"):
            del values[0]
        if not on("no-max-size"):
            values.append(("max-size", str(self.largest())))
        if role:
            values.append(("setup", role))
        return values

    def agree(self, session, media):
        session.path = media.path()
        session.media = media

    async def again(self, transaction):
        """A re-INVITE (RFC 3261 §14.2)."""
        message = transaction.message
        key = (message.get("Call-ID"), tag_of(message.get("To")), tag_of(message.get("From")))
        dialog = self.dialogs.get(key)
        if dialog is None or dialog.over:
            raise Refused(481)
        cseq = int(message.get("CSeq").split()[0])
        if cseq <= dialog.theirs:
            raise Refused(500)
        if dialog.transaction and dialog.transaction.status < 200:
            raise Refused(500, ("Retry-After", "2"))
        if on("reinvite-refused"):
            dialog.theirs = cseq
            raise Refused(488)
        session = dialog.session
        if on("reinvite-forgets-chunks"):
            session.assemblies.clear()
        if on("reinvite-doubles"):
            for record in session.records:
                self.server.store.copy(record)
        was = session.mine, session.path, getattr(session, "connects", False)
        if on("reinvite-new-path"):
            del self.sessions[session.id]
            session.id = session_id()
            session.mine = f"msrp://127.0.0.1:{self.port}/{session.id};tcp"
            self.sessions[session.id] = session
        body = self.answer(session, message)
        if session.connection is None:
            session.connects = was[2]
        dialog.theirs, dialog.transaction = cseq, transaction
        if message.get("Contact"):
            dialog.target = address(message.get("Contact"))[1]
        transaction.respond(200, [("Contact", self.contact()), ("Allow", ALLOW), ("Content-Type", "application/sdp")], body)

    async def unacknowledged(self, transaction):
        """No ACK came for a 2xx: the session ends (RFC 3261 §13.3.1.4)."""
        for dialog in [d for d in self.dialogs.values() if d.transaction is transaction]:
            await self.bye(dialog)

    async def bye(self, dialog):
        """Ends a dialog from this side."""
        if dialog.over:
            return
        dialog.over = True
        await self.in_dialog(dialog, "BYE")
        if dialog.session:
            self.finish(dialog.session, None)

    async def in_dialog(self, dialog, method):
        dialog.cseq += 1
        hop = address(dialog.route[0])[1] if dialog.route else dialog.target
        fields = [("Max-Forwards", "70"), ("From", dialog.local), ("To", dialog.remote), ("Call-ID", dialog.call),
                  ("CSeq", f"{dialog.cseq} {method}"), *(("Route", r) for r in dialog.route), ("Content-Length", "0")]

        def make(via):
            return write(f"{method} {dialog.target} SIP/2.0", [self.server.via(*via), *fields]), via[1]
        return await self.server.request({"uri": hop, "peer": dialog.peer}, make)

    # -- INVITE to others

    async def invite(self, binding, make, provisional=None, cancelled=None):
        """Sends an INVITE; the final response and the way it took, or None.

        Repeated 2xx are given to what `self.clients[branch]` is when this returns.
        """
        server, t1, branch = self.server, self.server.args.t1, "z9hG4bK" + secrets.token_hex(8)
        tcp = "transport=tcp" in binding["uri"].lower()
        octets = make(("tcp" if tcp else "udp", branch))
        connection = None
        if tcp or len(octets) > 1300 and not on("big-by-udp"):
            connection = await server.connection_to(binding, tcp)
            if connection:
                octets = make(("tcp", branch))
            elif tcp:
                return None
        where = ("tcp", connection) if connection else ("udp", server.host_port(binding["uri"]))
        queue = asyncio.Queue()
        self.clients[branch] = queue.put_nowait
        wait, end, rung = t1, time.monotonic() + 64 * t1, False
        stopping = asyncio.ensure_future(cancelled.wait()) if cancelled else None
        server.send(octets, where)
        try:
            while time.monotonic() < end:
                if stopping and stopping.done() and rung:
                    stopping = None
                    self.stop(octets, where)
                    end = time.monotonic() + 64 * t1
                getting = asyncio.ensure_future(queue.get())
                await asyncio.wait([getting] + ([stopping] if stopping and rung else []),
                                   timeout=wait if not rung else end - time.monotonic(),
                                   return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    if not rung and not connection:
                        server.send(octets, where)
                        wait = 2 * wait
                    if connection and not connection.open:
                        return None
                    continue
                response = getting.result()
                status = int(response.start.split(" ")[1])
                if status < 200:
                    rung, end = True, time.monotonic() + 300 * t1
                    if provisional and status > 100:
                        provisional(response)
                    continue
                if status >= 300:
                    self.clients[branch] = lambda again: server.send(self.ack(octets, again), where)
                    server.send(self.ack(octets, response), where)
                return response, where, branch
            if rung:
                self.stop(octets, where)
            return None
        finally:
            if stopping:
                stopping.cancel()
            asyncio.get_running_loop().call_later(64 * t1, self.clients.pop, branch, None)

    def ack(self, octets, response):
        """The ACK of a final response that is no 2xx (RFC 3261 §17.1.1.3)."""
        invite = Sip.parse(octets, True)
        fields = [(n, v) for n, v in invite.headers if n.lower() in ("from", "f", "call-id", "i", "route", "max-forwards")]
        number = invite.get("CSeq").split()[0]
        return write(f"ACK {invite.start.split(' ')[1]} SIP/2.0", [
            ("Via", invite.vias()[0]), *((n, unfold(v)) for n, v in fields), ("To", response.get("To")),
            ("CSeq", f"{number} ACK"), ("Content-Length", "0")])

    def stop(self, octets, where):
        invite = Sip.parse(octets, True)
        fields = [(n, unfold(v)) for n, v in invite.headers
                  if n.lower() in ("from", "f", "to", "t", "call-id", "i", "route", "max-forwards")]
        number = invite.get("CSeq").split()[0]
        self.server.send(write(f"CANCEL {invite.start.split(' ')[1]} SIP/2.0", [
            ("Via", invite.vias()[0]), *fields, ("CSeq", f"{number} CANCEL"), ("Content-Length", "0")]), where)

    async def pass_on(self, transaction, account):
        """Passes an INVITE on to the newest contact as a proxy; true where nobody is there."""
        message = transaction.message
        forwards = message.get("Max-Forwards") or "70"

        def back(response):
            fields, first = [], True
            for name, value in response.headers:
                if name.lower() in ("via", "v"):
                    values = split_list(unfold(value))
                    fields += [("Via", v) for v in (values[1:] if first else values)]
                    first = False
                elif name.lower() not in ("content-length", "l"):
                    fields.append((name, unfold(value)))
            fields.append(("Content-Length", str(len(response.body))))
            status = int(response.start.split(" ")[1])
            transaction.pass_on(write(response.start, fields, response.body), status, repeat=status >= 300)

        for binding in reversed(self.server.online(account)):
            def make(via, binding=binding):
                fields = [(n, unfold(v)) for n, v in message.headers
                          if n.lower() not in ("max-forwards", "content-length", "l", "route")]
                return write(f"INVITE {binding['uri']} SIP/2.0",
                             [self.server.via(*via), *fields, ("Max-Forwards", str(int(forwards) - 1)),
                              ("Content-Length", str(len(message.body)))], message.body)
            if transaction.status == 0:
                transaction.respond(100, tag=False)
            result = await self.invite(binding, make, back, transaction.cancelled)
            if result is None:
                continue
            response, _, branch = result
            status = int(response.start.split(" ")[1])
            if status < 300:
                self.clients[branch] = back
            if status in (408, 430, 480, 503) and not transaction.cancelled.is_set():
                continue
            if on("online-also-stored") and status < 300:
                self.keep_copy = True
            back(response)
            return False
        return True

    # -- what comes by MSRP

    def longest_chunk(self):
        return self.largest() + 1000

    def largest(self):
        return 30_000 if on("small-max-size") else 20_000_000

    def too_large(self, frame, connection):
        session = self.session_of(frame, connection)
        if isinstance(session, Session):
            session.assemblies.pop(frame.get("Message-ID"), None)
            connection.answer(frame, 413)

    async def accepted(self, reader, writer):
        await MsrpConnection(reader, writer, self).read()

    def session_of(self, frame, connection):
        """The session that a frame is for, or the status that refuses it (RFC 4975 §5.4)."""
        to, source = frame.get("To-Path"), frame.get("From-Path")
        try:
            _, host, port, name, transport = parse_uri(to.split(" ")[0])
            parse_uri(source.split(" ")[0])
        except (ValueError, AttributeError, IndexError):
            return 400
        session = self.sessions.get(name)
        if session is None and on("session-id-any-case"):
            session = next((s for s in self.sessions.values() if s.id.lower() == name.lower()), None)
        if session is None and on("session-any"):
            session = next(iter(connection.sessions), None) or self.latest
        if session is None or session.over or session.failed:
            return 481
        if (host, port, transport) != ("127.0.0.1", self.port, "tcp"):
            return 481
        if session.connection not in (None, connection):
            if on("second-connection-taken"):
                return session
            return 506
        return session

    def frame(self, frame, connection):
        session = self.session_of(frame, connection)
        if frame.method == "REPORT":
            if on("report-answered"):
                connection.answer(frame, 200)
            if isinstance(session, Session):
                self.reported(session, frame)
            return
        if not isinstance(session, Session):
            connection.answer(frame, session)
            return
        if session.connection is None:
            session.connection = connection
            connection.sessions.add(session)
            if not session.bound.done():
                session.bound.set_result(connection)
        if frame.method != "SEND":
            connection.answer(frame, 200 if on("unknown-method-200") else 501)
            return
        if not frame.get("Message-ID"):
            connection.answer(frame, 400)
            return
        if on("unknown-header-400") and any(n.lower().startswith("x-") for n, _ in frame.headers):
            connection.answer(frame, 400)
            return
        if on("expires-415") and frame.get("Expires") is not None:
            connection.answer(frame, 415)
            return
        if on("expires-423") and frame.get("Expires") is not None:
            connection.answer(frame, 423)
            return
        try:
            status, after = self.send(session, frame)
        except ValueError:
            status, after = 400, None
        except Refused as why:
            status, after = (why.status if why.status in (400, 403, 413, 415) else 403), None
        connection.answer(frame, status)
        if after:
            after()

    def send(self, session, frame):
        """Takes a SEND; its status and what is to be done after the answer."""
        ident, kind = frame.get("Message-ID"), frame.get("Content-Type")
        if frame.body and not kind:
            return 400, None
        now = self.server.store.now()
        assembly = session.assemblies.get(ident)
        if on("messages-mixed"):
            ident = "one"
            assembly = session.assemblies.get(ident)
        if frame.body is None and assembly is None:
            if on("bodiless-400"):
                return 400, None
            if not on("bodiless-stored") or session.records:
                return 200, None
            frame.body = b""
        if session.outgoing:
            return 403, None  # the recipient has nothing to say here
        if kind and not self.takes(session, kind) and not on("types-not-looked-at"):
            session.assemblies.pop(ident, None)
            return 415, None
        if frame.flag == "#" and not on("abort-stored"):
            session.assemblies.pop(ident, None)
            return 200, None
        sender = address(session.invite.get("From"))[1]
        if assembly is None:
            assembly = self.broken.pop((session.account, sender, ident), None) or Assembly()
            session.assemblies[ident] = assembly
        if on("assemblies-shared"):
            assembly = self.broken.setdefault(ident, assembly)
        start = re.match(r"(\d{1,25})-", frame.get("Byte-Range") or "1-")
        claimed = re.search(r"/(\d{1,25})$", frame.get("Byte-Range") or "")
        if on("huge-total-closes") and claimed and int(claimed[1]) > 2 ** 31:
            session.connection.close()
            return 400, None
        if assembly.size + len(frame.body or b"") > self.largest() or start and int(start[1]) > self.largest() + 1 \
                or claimed and int(claimed[1]) > self.largest() and not on("claims-not-looked-at"):
            session.assemblies.pop(ident, None)
            return 413, None
        if on("range-required") and not frame.get("Byte-Range"):
            return 400, None
        if on("star-refused") and "*" in (frame.get("Byte-Range") or ""):
            return 400, None
        assembly.add(frame, now)
        if on("chunks-as-messages"):
            assembly.total = assembly.size
            assembly.spans = [(1, assembly.size + 1)]
            assembly.pieces = [(1, frame.body or b"")]
        if frame.flag == "#":
            assembly.total = assembly.total or assembly.size
        early = None
        if on("report-at-dollar") and frame.flag == "$" and not assembly.complete():
            early = lambda: self.report(session, frame, [(1, assembly.claimed or assembly.total)], assembly.total)
        if not assembly.complete():
            return 200, early
        session.assemblies.pop(ident, None)
        content = assembly.content()
        digest = hashlib.sha256(content).digest()
        key = (session.account, sender, ident)
        wanted = any(dict((n.lower(), v) for n, v in head["headers"]).get("success-report", "").strip().lower() == "yes"
                     for head in assembly.heads) or on("report-always")
        if on("report-claimed") and assembly.claimed:
            assembly.total = assembly.claimed
        spans = [(1, assembly.total)] if not on("report-chunks") else [
            (s, s + len(b) - 1) for s, b in assembly.pieces if b]
        before, stored = self.seen.get(key, (None, None))
        # What may yet be dropped for want of a BYE is not there for sure.
        sure = stored is None or stored["state"] != "held"
        if before == digest and sure or on("dedupes-message-id") and ident in self.seen:
            # A message that comes again after a broken session is the same one (RFC 4975 §5.4).
            return 200, (lambda: self.report(session, frame, spans, assembly.total)) if wanted and \
                self.policy["lm.success_report"] == "on-store" else None
        first = assembly.first or assembly.heads[0]
        part = {"send": {**first}, "chunks": assembly.heads, "body": content, "digest": digest.hex(),
                "arrived": assembly.arrived, "completed": now, "ident": ident}
        record = self.keep(session, part)
        self.seen[key] = digest, record
        if on("dedupes-message-id"):
            self.seen[ident] = None, None

        def after():
            if wanted and record is not None:
                if self.policy["lm.success_report"] == "on-store" and not on("report-missing"):
                    self.report(session, frame, spans, assembly.total)
                elif self.policy["lm.success_report"] == "on-delivery":
                    self.due.setdefault(record["key"], []).append((session, frame, spans, assembly.total))
            if record is not None and record["state"] == "waiting":
                self.server.wake(session.account)
            if on("bye-by-server") and not session.assemblies:
                asyncio.get_running_loop().call_later(0.03, self.perhaps_bye, session)
        return 200, after

    def perhaps_bye(self, session):
        if not session.assemblies and not session.over:
            self.server.spawn(self.bye(session.dialog))

    def takes(self, session, kind):
        if kind.lower().startswith("message/cpim"):
            return True
        return sdp.matches(session.types, kind)

    def keep(self, session, part):
        """Stores a message that is complete."""
        policy = self.policy
        if on("large-lost") and len(part["body"]) > 60_000:
            return None
        if on("empty-dropped-by-session") and not part["body"]:
            return None
        if on("only-first-of-session") and session.records:
            return None
        if on("only-last-of-session"):
            for old in session.records:
                self.server.store.change(old, state="deleted")
        if policy["lm.multi"] == "one-per-session" and session.records and not on("one-record-loses"):
            record = session.records[0]
            further = record.get("further", []) + [self.part(part)]
            self.server.store.change(record, further=further, received=part["completed"])
            return record
        hold = policy["lm.multi"] == "one-per-session" or policy["lm.no_bye"] == "drop" or on("waits-for-bye")
        record = self.server.store.add_session(session, part, self.part(part), hold)
        if record is None:
            return None
        session.records.append(record)
        if on("invite-again-doubles") and getattr(getattr(session, "transaction", None), "doubled", False):
            session.records.append(self.server.store.copy(record))
        return record

    def part(self, part):
        return {"send": part["send"], "chunks": part["chunks"], "body": part["body"].decode("latin-1")}

    def report(self, session, frame, spans, total):
        """A success report for what came (RFC 4975 §7.1.2)."""
        connection = session.connection
        if connection is None or not connection.open or session.over:
            return
        for first, last in spans:
            if on("report-zero-based"):
                first, last = first - 1, last - 1
            if total == 0:
                first, last = 1, 0
            headers = [("To-Path", frame.get("From-Path")), ("From-Path", session.mine),
                       ("Message-ID", frame.get("Message-ID")), ("Byte-Range", f"{first}-{last}/{total}"),
                       ("Status", "200 OK" if on("report-bare-status") else "000 200 OK")]
            if on("report-path-own"):
                headers[0] = ("To-Path", session.mine)
            if on("report-other-id"):
                headers[2] = ("Message-ID", secrets.token_hex(8))
            connection.send(write_frame(secrets.token_hex(8), "REPORT", headers))

    def delivered(self, record):
        for due in self.due.pop(record["key"], ()):
            self.report(*due)

    def lost(self, connection):
        """A connection is gone, and with it its sessions (RFC 4975 §5.4)."""
        for session in list(connection.sessions):
            if session.over:
                continue
            session.failed = True
            if not session.bound.done():
                session.bound.set_result(None)
            if session.outgoing:
                continue
            sender = address(session.invite.get("From"))[1]
            for ident, assembly in session.assemblies.items():
                if on("half-stored-at-loss"):
                    self.half(session, assembly)
                self.broken[session.account, sender, ident] = assembly
            session.assemblies.clear()
            self.release(session, None)

    def half(self, session, assembly):
        if assembly.heads and assembly.size:
            now = self.server.store.now()
            self.keep(session, {"send": assembly.heads[0], "chunks": assembly.heads, "body": assembly.content(),
                                "arrived": now, "completed": now, "ident": "half"})

    def finish(self, session, bye):
        """The session has ended, by a BYE of the sender or without one."""
        if session.over:
            return
        if on("half-stored-at-bye"):
            for assembly in session.assemblies.values():
                self.half(session, assembly)
        session.over = True
        session.assemblies.clear()
        if not session.bound.done():
            session.bound.set_result(None)
        if not session.outgoing:
            self.release(session, bye)
        connection = session.connection
        if connection:
            connection.sessions.discard(session)
            if session.outgoing:
                connection.close()  # nobody will answer what is under way
            if on("closes-after-bye") and not connection.sessions:
                asyncio.get_running_loop().call_later(0.01, connection.close)
        asyncio.get_running_loop().call_later(64 * self.server.args.t1, self.forget, session)

    def forget(self, session):
        self.sessions.pop(session.id, None)
        if session.dialog:
            self.dialogs.pop(session.dialog.key(), None)

    def release(self, session, bye):
        """What was held for the end of its session waits now, or is dropped as declared."""
        store = self.server.store
        for record in session.records:
            held = record["state"] == "held"
            store.session_ended(record, bye, session)
            if held and record["state"] == "deleted":
                self.seen = {key: known for key, known in self.seen.items() if known[1] is not record}
        if any(r["state"] == "waiting" for r in session.records):
            self.server.wake(session.account)

    # -- what goes out by MSRP

    async def connect_and_bind(self, session):
        """The active side connects and says at once for which session (RFC 6135 §4.2)."""
        connection = await self.connect(session)
        if connection:
            await self.bind(session, connection)

    async def connect(self, session):
        try:
            _, host, port, _, _ = parse_uri(session.path[0])
            if on("cema") and session.media.get("msrp-cema") is not None:
                host, port = session.media.address, session.media.port
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1)
        except (OSError, asyncio.TimeoutError, ValueError, IndexError):
            return None
        connection = session.connection = MsrpConnection(reader, writer, self)
        connection.sessions.add(session)
        self.server.spawn(connection.read())
        return connection

    async def bind(self, session, connection):
        return await connection.request("SEND", [
            ("To-Path", " ".join(session.path)), ("From-Path", session.mine),
            ("Message-ID", secrets.token_hex(8))], None, "$", 30 * self.server.args.t1)

    def reported(self, session, frame):
        match = re.fullmatch(r"(\d+)-(\d+)/(\d+|\*)", frame.get("Byte-Range") or "")
        waiting = session.reports.get(frame.get("Message-ID"))
        if match and waiting and re.match(r"\d+ 200", frame.get("Status") or ""):
            waiting[1] += int(match[2]) - int(match[1]) + 1
            if waiting[1] >= waiting[2] and not waiting[0].done():
                waiting[0].set_result(True)

    async def deliver(self, records, binding):
        """Brings stored messages to one contact by a session of their own; a status as of a MESSAGE."""
        server, first = self.server, records[0]
        session = Session(self)
        session.outgoing = True
        self.sessions[session.id] = session
        setup = "active" if on("offers-active") else None if on("offers-no-setup") else "actpass"
        if on("offers-passive"):
            setup = "passive"
        values = [("accept-types", "message/cpim text/plain"), ("path", session.mine), ("sendonly", None)]
        if setup:
            values.append(("setup", setup))
        offer = sdp.write(self.port, values)
        tag, call, number = secrets.token_hex(4), secrets.token_hex(10), random.randrange(1, 99999)
        from_, fields = server.session_fields(records, tag)
        to = f"<{first['account']}>"

        def make(via):
            return write(f"INVITE {binding['uri']} SIP/2.0", [
                server.via(*via), ("Max-Forwards", "70"), ("From", from_), ("To", to), ("Call-ID", call),
                ("CSeq", f"{number} INVITE"), ("Contact", self.contact()), ("Allow", ALLOW), *fields,
                ("Content-Type", "application/sdp"), ("Content-Length", str(len(offer)))], offer)
        result = await self.invite(binding, make)
        if result is None:
            self.forget(session)
            return None
        response, where, branch = result
        status = int(response.start.split(" ")[1])
        if status >= 300:
            self.forget(session)
            return status
        if on("delivered-at-200"):
            for record in records:
                server.delivered(record)
        route = [r for field in response.fields("Record-Route") for r in split_list(unfold(field))][::-1]
        contact = response.get("Contact")
        target = address(contact)[1] if contact else binding["uri"]
        dialog = Dialog(call, from_, response.get("To"), target, route, binding["peer"], number, -1)
        dialog.session, session.dialog = session, dialog
        self.dialogs[dialog.key()] = dialog
        hop = {"uri": address(route[0])[1] if route else target, "peer": binding["peer"]}
        await self.acknowledge(dialog, hop, number, branch)
        try:
            return await self.bring(session, response, records)
        finally:
            if not on("delivery-no-bye"):
                if on("late-bye"):
                    await asyncio.sleep(0.2)
                await self.bye(dialog)
            if session.connection:
                session.connection.close()
            self.forget(session)

    async def acknowledge(self, dialog, hop, number, branch):
        """The ACK of a 2xx, again at each copy of it (RFC 3261 §13.2.2.4)."""
        connection = None
        if "transport=tcp" in hop["uri"].lower():
            connection = await self.server.connection_to(hop, True)
        where = ("tcp", connection) if connection else ("udp", self.server.host_port(hop["uri"]))
        octets = write(f"ACK {dialog.target} SIP/2.0", [
            self.server.via(where[0], "z9hG4bK" + secrets.token_hex(8)), ("Max-Forwards", "70"), ("From", dialog.local),
            ("To", dialog.remote), ("Call-ID", dialog.call), ("CSeq", f"{number} ACK"),
            *(("Route", r) for r in dialog.route), ("Content-Length", "0")])
        if on("delivery-no-ack"):
            return
        self.server.send(octets, where)
        self.clients[branch] = lambda _: self.server.send(octets, where)

    async def bring(self, session, response, records):
        server, t1 = self.server, self.server.args.t1
        try:
            _, media, _ = sdp.read(response.body)
            answer = next(m for m in media if m.kind == "message" and m.port and m.path())
        except (ValueError, StopIteration):
            return 488
        self.agree(session, answer)
        setup = (answer.get("setup") or "passive").lower()
        if setup == "active" and not on("delivery-ignores-setup"):
            try:
                connection = await asyncio.wait_for(asyncio.shield(session.bound), 30 * t1)
            except asyncio.TimeoutError:
                connection = None
        else:
            connection = await self.connect(session)
            if connection and on("binds-bodiless"):
                await self.bind(session, connection)
        if connection is None:
            return None
        worst = 200
        for record in records:
            status = await self.bring_record(session, connection, answer, record)
            if status is not None and status < 300:
                server.delivered(record)
            else:
                worst = status
                if status is None:
                    return None
        return worst

    async def bring_record(self, session, connection, answer, record):
        for headers, body in self.server.parts(record):
            status = await self.bring_part(session, connection, answer, record, headers, body)
            if status is None or status >= 300:
                return status
        return 200

    async def bring_part(self, session, connection, answer, record, headers, body):
        kind = next((v for n, v in headers if n.lower() == "content-type"), None)
        if kind is None:
            kind, headers = "text/plain", headers + [("Content-Type", "text/plain")]
        wraps = on("wraps-cpim") or on("one-session") or not answer.takes(kind)
        if wraps and not kind.lower().startswith("message/cpim") and answer.unwraps(kind):
            headers, body = self.wrap(record, headers, body)
        elif not answer.takes(kind) and not on("delivery-ignores-types"):
            return 415  # it waits for a device that takes it
        if (answer.get("max-size") or "").isdecimal() and len(body) > int(answer.get("max-size")) \
                and not on("delivery-ignores-max-size"):
            return 413
        ident = record["id"].replace("sip:", "") if on("oma-id-as-msrp-id") else secrets.token_hex(8)
        size = 1 if on("chunk-1") and len(body) <= 600 else 100 if on("chunk-100") and len(body) <= 20_000 \
            else len(body) or 1 if on("chunk-huge") else 2048
        total, t1 = len(body), self.server.args.t1
        common = [("To-Path", " ".join(session.path)), ("From-Path", session.mine), ("Message-ID", ident)]
        if on("delivery-wrong-path"):
            common[0] = ("To-Path", session.path[0].replace(";tcp", "x;tcp"))
        if on("asks-report"):
            common += [("Success-Report", "yes"), ("Failure-Report", "partial")]
            session.reports[ident] = [asyncio.get_running_loop().create_future(), 0, total]
        starts = list(range(0, total, size)) or [0]
        if on("delivery-chunk-lost") and len(starts) > 1:
            del starts[1]
        if on("delivery-out-of-order"):
            random.shuffle(starts)
        wait, window, pending = 30 * t1, 1 if on("one-chunk-at-a-time") else 16, []
        lost, taken = None, False
        for at in starts:
            piece = body[at:at + size]
            end = "*" if size > 2048 else str(at + len(piece))
            shown = "*" if on("total-unknown") and at + size < total else str(total)
            if on("delivery-range-zero-based"):
                span = f"{at}-{at + len(piece) - 1}/{total}"
            else:
                span = f"{at + 1}-{end}/{shown}"
            flag = "$" if at + size >= total else "+"
            if on("delivery-no-end") or on("delivery-aborts"):
                flag = "#" if on("delivery-aborts") and flag == "$" else "+"
            # A value with a line end in it would become a header field of our own.
            fields = common + [("Byte-Range", span), *((n, v) for n, v in headers if not set("\r\n") & set(v))]
            fields.sort(key=lambda h: h[0] == "Content-Type")
            work = connection.request("SEND", fields, piece, flag, wait)
            if on("asks-report"):
                connection.send(write_frame(secrets.token_hex(8), "SEND", fields, piece, flag))
                work.close()
                continue
            pending.append(asyncio.ensure_future(work))
            if len(pending) >= window:
                answered = await pending.pop(0)
                taken = taken or answered is not None and answered.status == 200
                if answered is None or answered.status != 200:
                    lost = (answered,)
                    break
            else:
                await asyncio.sleep(0)
        if on("delivered-unacknowledged"):
            await asyncio.sleep(0.02)
            for one in pending:
                one.cancel()
            return 200
        if on("asks-report"):
            try:
                if total:
                    await asyncio.wait_for(session.reports[ident][0], wait)
                return 200
            except asyncio.TimeoutError:
                return None
        answers = [await one for one in pending]
        if on("delivered-by-any-chunk") and (taken or any(a and a.status == 200 for a in answers)):
            return 200
        answers += list(lost or ())
        bad = next((a for a in answers if a is None or a.status != 200), True)
        if bad is True:
            return 200
        if on("delivered-though-refused"):
            return 200
        return bad.status if bad else None

    def wrap(self, record, headers, body):
        """The message in message/cpim (RFC 3862), which then names its sender."""
        display, uri, _ = address(unfold(next((v for n, v in record["headers"] if n.lower() in ("from", "f")),
                                              "<sip:unknown@invalid>")))
        lines = [f"From: {display + ' ' if display else ''}<{uri}>", f"To: <{record['account']}>",
                 "DateTime: " + self.server.cpim_date(record["received"])]
        subject = next((unfold(v) for n, v in record["headers"] if n.lower() in ("subject", "s")), None)
        if subject:
            lines.append("Subject: " + subject)
        inner = [f"{n}: {v}" for n, v in headers if n.lower().startswith("content-")]
        outer = [(n, v) for n, v in headers if not n.lower().startswith("content-")]
        wrapped = "\r\n".join(lines + [""] + inner + ["", ""]).encode("latin-1") + body
        return outer + [("Content-Type", "message/cpim")], wrapped
