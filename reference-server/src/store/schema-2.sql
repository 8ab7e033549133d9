-- What sessions add. A session's record keeps the INVITE's head in message.request.

ALTER TABLE message ADD COLUMN kind TEXT NOT NULL DEFAULT 'pager' CHECK (kind IN ('pager', 'session'));
ALTER TABLE message ADD COLUMN ok BLOB;                      -- the head of the 200 that was sent
ALTER TABLE message ADD COLUMN bye BLOB;                     -- the head of the sender's BYE, if one came
-- 1 while it depends on the end of its session: it is no deferred message yet.
ALTER TABLE message ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

-- One message of a session's record.
CREATE TABLE part (
    content INTEGER PRIMARY KEY,         -- names its pieces
    message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,
    place   INTEGER NOT NULL,            -- in its record
    origin  TEXT NOT NULL,               -- who sent it, under which MSRP Message-ID
    heads   BLOB NOT NULL,               -- heads of its SENDs, each with an empty line after it
    first   INTEGER NOT NULL,            -- which of them has the first octet
    all_heads INTEGER NOT NULL,          -- 0: only that one was kept
    octets  INTEGER NOT NULL,
    sha256  BLOB NOT NULL
);
CREATE INDEX part_message ON part(message, place);
CREATE INDEX part_origin ON part(origin);

-- Content, also of messages that are not complete yet: these have no part, and go at the next start.
CREATE TABLE piece (
    content INTEGER NOT NULL,
    number  INTEGER NOT NULL,            -- octets 65536 * number and on
    octets  BLOB NOT NULL,
    UNIQUE (content, number)
);
CREATE TRIGGER part_gone AFTER DELETE ON part BEGIN
    DELETE FROM piece WHERE content = OLD.content;
END;

DROP VIEW readable_message;
CREATE VIEW readable_message AS
SELECT message.id,
       account.aor AS account,
       message.message_id,
       message.kind,
       message.state,
       strftime('%Y-%m-%dT%H:%M:%fZ', message.received_at / 1000000.0, 'unixepoch') AS received_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', message.expire_at / 1000000.0, 'unixepoch') AS expire_at,
       message.expire_seconds,
       CAST(message.request AS TEXT) AS request,
       (SELECT sum(octets) FROM part WHERE part.message = message.id) AS octets
FROM message JOIN account ON account.id = message.account
WHERE NOT message.held;
