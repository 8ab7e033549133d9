"""MSRP of the peer server (RFC 4975): frames read from a connection and written to it, URIs, and messages put
together from their chunks."""

import asyncio
import random
import re
import secrets
import time

from catalogue import on

IDENT = re.compile(rb"[A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}")
LONGEST_HEAD = 100_000
COMMENT = {200: "OK", 400: "Bad Request", 403: "Not Allowed Here", 408: "Too Slow", 413: "Stop Sending",
           415: "Type Not Understood", 481: "No Such Session", 501: "Method Not Known", 506: "Already Bound"}
WRONG_ENDS = ("endline-any-dashes", "endline-any-tid", "endline-no-flag", "endline-lf")
# What a range may say of octets that nobody sends is no reason to keep anything (RFC 4975 §14.5).
ODD = "+=/._~-"


def parse_uri(text):
    """Scheme, host, port, session and transport of an MSRP URI (RFC 4975 §6); the session as it is written."""
    match = re.fullmatch(r"(msrps?)://(?:[^@/]*@)?(\[[^\]]*\]|[^:/;]+)(?::(\d+))?(?:/([^;]*))?;(\w+)(?:;.*)?", text, re.I)
    if not match:
        raise ValueError(f"no MSRP URI: {text!r}")
    return match[1].lower(), match[2].lower().strip("[]"), int(match[3] or 2855), match[4] or "", match[5].lower()


def session_id():
    if on("path-guessable"):
        session_id.count = getattr(session_id, "count", 0) + 1
        return f"s{session_id.count}"
    text = secrets.token_urlsafe(18)
    if on("odd-session-id"):
        # RFC 4975 §9: session-id = 1*( unreserved / "+" / "=" / "/" )
        text = "/".join((text[:6], text[6:] + "".join(random.sample(ODD, 5)), "=="))
    return text


class Frame:
    """A request or response; header fields as text in Latin-1."""

    def __init__(self, tid, start, headers, body, flag):
        self.tid, self.start, self.headers, self.body, self.flag = tid, start, headers, body, flag

    def get(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def method(self):
        return self.start.split(" ")[2] if not self.status else None

    @property
    def status(self):
        match = re.match(r"MSRP \S+ (\d{3})(?: |$)", self.start)
        return int(match[1]) if match else None


def write_frame(tid, what, headers, body=None, flag="$"):
    """The two paths come first (RFC 4975 §7.1); a body follows Content-Type, which is last."""
    if on("msrp-headers-shuffled"):
        rest = [h for h in headers[2:] if h[0] != "Content-Type"]
        random.shuffle(rest)
        headers = headers[:2] + rest + [h for h in headers if h[0] == "Content-Type"]
    lines = [f"MSRP {tid} {what}", *(f"{name}: {value}" for name, value in headers)]
    octets = "\r\n".join(lines).encode("latin-1") + b"\r\n"
    if body is not None:
        octets += b"\r\n" + body + b"\r\n"
    return octets + f"-------{tid}{flag}\r\n".encode()


class Found:
    """What a search found, as a match of `re` would say it."""

    def __init__(self, start, octets):
        self.at, self.octets = start, octets

    def start(self):
        return self.at

    def end(self):
        return self.at + len(self.octets)

    def __getitem__(self, _):
        return self.octets


class EndLine:
    """The end-line of one transaction. An expression of its own for each frame would cost more than all the rest."""

    def __init__(self, tail):
        self.tail, self.line = tail, b"\r\n" + tail

    def search(self, buffer, at):
        length = len(self.tail) + 3
        if at == 0 and buffer.startswith(self.tail) and self.whole(buffer[:length]):
            return Found(0, bytes(buffer[:length]))
        while (at := buffer.find(self.line, at)) >= 0:
            octets = bytes(buffer[at:at + 2 + length])
            if self.whole(octets):
                return Found(at, octets)
            at += 1
        return None

    @staticmethod
    def whole(octets):
        return octets[-2:] == b"\r\n" and octets[-3:-2] in (b"$", b"+", b"#")


class Head(EndLine):
    """The end of a head: an empty line, or the end-line."""

    def search(self, buffer, at):
        empty = buffer.find(b"\r\n\r\n", at)
        end = None
        # What looks like an end-line behind the empty line belongs to the body.
        dashes = buffer.find(self.line, at, empty + 2 if empty >= 0 else len(buffer))
        if dashes >= 0:
            end = super().search(buffer, dashes)
        if end and (empty < 0 or end.start() < empty):
            return end
        return Found(empty, b"\r\n\r\n") if empty >= 0 else None


class Broken(Exception):
    """What came is no MSRP, and nobody knows where the next frame begins."""


class MsrpConnection:
    """One TCP connection; several sessions may share it."""

    def __init__(self, reader, writer, office):
        self.reader, self.writer, self.office, self.open = reader, writer, office, True
        self.sessions, self.answers, self.pieces = set(), {}, []
        self.buffer, self.wrong_ends = bytearray(), any(map(on, WRONG_ENDS))

    async def read(self):
        try:
            while True:
                frame = await self.frame()
                if frame is None:
                    return
                if frame.status:
                    future = self.answers.pop(frame.tid, None)
                    if future and not future.done():
                        future.set_result(frame)
                else:
                    self.office.frame(frame, self)
        except (Broken, OSError, asyncio.IncompleteReadError) as why:
            if isinstance(why, Broken):
                self.broken = str(why)
        finally:
            self.close()
            self.office.lost(self)

    async def more(self):
        piece = await self.reader.read(262144)
        if not piece:
            raise asyncio.IncompleteReadError(b"", None)
        self.buffer += piece

    async def find(self, pattern, start, back, limit=None):
        """The first match; what was looked at is not looked at again, but for the last octets."""
        while True:
            match = pattern.search(self.buffer, start)
            if match:
                return match
            if limit and len(self.buffer) > limit:
                raise Broken("a head without end")
            start = max(start, len(self.buffer) - back)
            await self.more()

    async def frame(self):
        while self.buffer[:2] == b"\r\n" or len(self.buffer) < 2:
            if self.buffer[:2] == b"\r\n":
                del self.buffer[:2]
            else:
                await self.more()
        line = await self.find(re.compile(rb"\r\n"), 0, 2, 8000)
        start = bytes(self.buffer[:line.start()])
        words = re.fullmatch(rb"MSRP (\S+) (?:[A-Z]+|\d{3}(?: .*)?)", start, re.S)
        if not words or not IDENT.fullmatch(words[1]):
            raise Broken(f"no start line: {start[:40]!r}")
        tid = words[1]
        tail = b"-------" + tid
        end = re.escape(tail) + rb"[$+#]\r\n"
        if on("endline-any-tid"):
            end = rb"-------[A-Za-z0-9.+%=-]{4,32}[$+#]\r\n"
        if on("endline-no-flag"):
            end = re.escape(tail) + rb"(?:[$+#]\r\n|)"
        # The head ends with an empty line, or with the end-line where there is no body.
        head = await self.find(Head(tail) if not self.wrong_ends else
                               re.compile(rb"\r\n(?:\r\n|" + end + rb")"), line.start(), len(tid) + 12, LONGEST_HEAD)
        headers = self.headers(bytes(self.buffer[line.end():head.start()]))
        if head[0] != b"\r\n\r\n":
            flag = head[0][-3:-2].decode()
            del self.buffer[:head.end()]
            return Frame(tid.decode(), start.decode("latin-1"), headers, None, flag)
        del self.buffer[:head.end()]
        ends = EndLine(tail)
        if self.wrong_ends:
            ends = re.compile(rb"(?:^|\r\n)" + end) if not on("endline-any-dashes") else re.compile(rb"\r\n-------")
        if on("endline-lf"):
            ends = re.compile(rb"\r?\n" + end)
        most = self.office.longest_chunk()
        at, gone = 0, 0
        while not (match := ends.search(self.buffer, at)):
            at = max(0, len(self.buffer) - len(tid) - 14)
            if len(self.buffer) > most:
                # Said once; the rest of the chunk is read and thrown away.
                if not gone:
                    self.office.too_large(Frame(tid.decode(), start.decode("latin-1"), headers, b"", "+"), self)
                gone += at
                del self.buffer[:at]
                at = 0
            await self.more()
        body, flag = bytes(self.buffer[:match.start()]), match[0][-3:-2].decode()
        del self.buffer[:match.end()]
        if on("endline-any-dashes"):
            rest = await self.find(re.compile(end), 0, 60)
            flag = rest[0][-3:-2].decode()
            del self.buffer[:rest.end()]
        if gone:
            return await self.frame()
        if flag not in "$+#":
            flag = "$"
        return Frame(tid.decode(), start.decode("latin-1"), headers, body, flag)

    def headers(self, text):
        headers = []
        for line in text.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if not colon or not re.fullmatch(rb"[!#-'*+\-.0-9A-Z^-z|~]+", name):
                continue  # nothing here depends on such a line
            headers.append((name.decode("latin-1"), value.removeprefix(b" ").decode("latin-1")))
        return headers

    def send(self, octets):
        if not self.open:
            return
        if not on("msrp-in-pieces"):
            self.writer.write(octets)
            return
        cut = random.randrange(1, len(octets))
        idle = not self.pieces
        self.pieces += [octets[:cut], octets[cut:]]
        if idle:
            self.piece()

    def piece(self):
        if self.open and self.pieces:
            self.writer.write(self.pieces[0])
            asyncio.get_running_loop().call_later(0.001, self.next_piece)

    def next_piece(self):
        self.pieces.pop(0)
        self.piece()

    def answer(self, frame, status):
        """A response, where Failure-Report wants one (RFC 4975 §7.2)."""
        report = (frame.get("Failure-Report") or "yes").strip().lower()
        if report == "no" and not on("fr-no-answered") or report == "partial" and status == 200 \
                and not on("fr-partial-answered"):
            return
        if report == "yes" and on("fr-yes-unanswered"):
            return
        if report == "partial" and status != 200 and on("fr-partial-silent"):
            return
        source, target = (frame.get("From-Path") or "").split(" ")[0], (frame.get("To-Path") or "").split(" ")[0]
        if not source or not target:
            return
        if on("response-paths-copied"):
            source, target = target, source
        comment = "" if on("msrp-no-comments") else " " + COMMENT.get(status, "No")
        tid = secrets.token_hex(8) if on("response-other-tid") else frame.tid
        flag = "+" if on("response-flag-copied") and frame.flag else "$"
        self.send(write_frame(tid, f"{status}{comment}", [("To-Path", source), ("From-Path", target)], flag=flag))

    async def request(self, what, headers, body, flag, wait):
        """Sends a request and waits for its response; None where none came."""
        tid = secrets.token_hex(8)
        future = self.answers[tid] = asyncio.get_running_loop().create_future()
        self.send(write_frame(tid, what, headers, body, flag))
        try:
            await self.writer.drain()
            return (await asyncio.wait_for(future, wait)) if wait else None
        except (asyncio.TimeoutError, OSError):
            return None
        finally:
            if wait:
                self.answers.pop(tid, None)

    def close(self):
        if self.open:
            self.open = False
            self.writer.close()
            for future in self.answers.values():
                if not future.done():
                    future.set_result(None)


class Assembly:
    """The octets of one message, as its chunks bring them (RFC 4975 §7.3.1).

    Pieces are kept as they came and put in their places when all are there; what a range claims beyond the
    octets that came costs nothing.
    """

    def __init__(self):
        self.pieces, self.spans, self.total, self.size = [], [], None, 0
        self.heads, self.first, self.begun, self.claimed = [], None, time.monotonic(), None

    def add(self, frame, now):
        if not self.heads:
            self.arrived = now
        self.heads.append({"start": frame.start, "headers": [list(h) for h in frame.headers]})
        match = re.fullmatch(r"(\d+)-(\d+|\*)/(\d+|\*)", (frame.get("Byte-Range") or "1-*/*").strip())
        if not match:
            raise ValueError("no Byte-Range")
        start, body = int(match[1]), frame.body or b""
        if start < 1:
            raise ValueError("octets are counted from 1")
        claimed_end = None if match[2] == "*" else int(match[2])
        if match[3] != "*":
            self.claimed = int(match[3])
        if on("range-zero-based"):
            start += 1 if start > 1 else 0
        if on("range-end-trusted") and claimed_end and claimed_end - start < 100_000:
            body = body[:claimed_end - start + 1].ljust(claimed_end - start + 1, b"\0")
        if on("ranges-ignored"):
            start = self.size + 1
        if on("second-chunk-lost") and len(self.heads) == 2:
            body = b" " * len(body)
        if on("first-chunk-only") and len(self.heads) > 1:
            body = b""
            start = self.size + 1
        if on("chunk-crlf-kept"):
            body += b"\r\n"
        if on("overlap-first-wins"):
            self.pieces.insert(0, (start, body))
        else:
            self.pieces.append((start, body))
        self.size += len(body)
        if start == 1 and self.first is None:
            self.first = self.heads[-1]
        self.cover(start, start + len(body))
        if frame.flag == "$":
            self.total = start + len(body) - 1
            if on("total-trusted") and self.claimed is not None and self.claimed < 100_000:
                self.total = self.claimed
        if on("complete-at-total") and self.claimed is not None and self.size >= self.claimed:
            self.total = self.claimed

    def cover(self, start, end):
        """Joins the half-open span to those that are covered."""
        if start >= end:
            return
        joined = []
        for a, b in self.spans:
            if b < start or a > end:
                joined.append((a, b))
            else:
                start, end = min(a, start), max(b, end)
        self.spans = sorted(joined + [(start, end)])

    def complete(self):
        if self.total is None:
            return False
        if on("dollar-completes") or on("first-chunk-only"):
            return True
        if on("complete-at-total") and self.claimed is not None and self.size >= self.claimed:
            return True
        return self.total == 0 or bool(self.spans) and self.spans[0][0] == 1 and self.spans[0][1] > self.total

    def content(self):
        total = self.total if self.total is not None else max((s + len(b) - 1 for s, b in self.pieces), default=0)
        total = min(total, 200_000_000)
        octets = bytearray(total)
        for start, body in self.pieces:
            if start <= total:
                body = body[:total - start + 1]
                octets[start - 1:start - 1 + len(body)] = body
        return bytes(octets)
