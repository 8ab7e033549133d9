-- Times are microseconds since 1970-01-01T00:00:00Z in store time.

CREATE TABLE IF NOT EXISTS account (
    id  INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given twice: Message-IDs may be built from it
    aor TEXT NOT NULL UNIQUE
);

CREATE TABLE IF NOT EXISTS binding (
    id         INTEGER PRIMARY KEY,
    account    INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    contact    TEXT NOT NULL,
    q          TEXT,
    call_id    TEXT NOT NULL,
    cseq       INTEGER NOT NULL,
    bound_at   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    source     TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS binding_account ON binding(account);
CREATE INDEX IF NOT EXISTS binding_expiry ON binding(expires_at);

CREATE TABLE IF NOT EXISTS message (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    account        INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    message_id     TEXT NOT NULL UNIQUE,
    request        BLOB NOT NULL,            -- start line, header fields and body, octet for octet
    received_at    INTEGER NOT NULL,
    stored_at      INTEGER NOT NULL,
    expire_at      INTEGER,                  -- NULL: never
    expire_seconds INTEGER,
    expire_raw     TEXT,
    state          TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'expired'))
);
CREATE INDEX IF NOT EXISTS message_mailbox ON message(account, id);
CREATE INDEX IF NOT EXISTS message_expiry ON message(expire_at)
    WHERE expire_at IS NOT NULL AND state = 'waiting';

CREATE TABLE IF NOT EXISTS counter (
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL                      -- JSON
);

-- For people with the sqlite3 shell: SELECT * FROM readable_message;
CREATE VIEW IF NOT EXISTS readable_message AS
SELECT message.id,
       account.aor AS account,
       message.message_id,
       message.state,
       strftime('%Y-%m-%dT%H:%M:%fZ', message.received_at / 1000000.0, 'unixepoch') AS received_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', message.expire_at / 1000000.0, 'unixepoch') AS expire_at,
       message.expire_seconds,
       CAST(message.request AS TEXT) AS request
FROM message JOIN account ON account.id = message.account;
