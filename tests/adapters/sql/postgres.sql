-- A mailbox with every type of which a field can be made.
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TYPE how AS ENUM ('waiting', 'delivered');
CREATE DOMAIN header AS varchar(200);
CREATE TABLE inbox (
    id uuid NOT NULL, place bigint PRIMARY KEY, owner citext NOT NULL, number integer NOT NULL, realm char(12) NOT NULL,
    sender header, kind text, body bytea, extra text,
    received timestamptz NOT NULL, kept timestamp, expires numeric(16,3), lifetime smallint, how how NOT NULL
);
INSERT INTO inbox VALUES
    ('00000000-0000-0000-0000-00000000000a', 1, 'Bob', 42, 'example.org', '<sip:alice@example.org>', 'text/plain', '\x00ff0a',
     E'Subject: Grüße\r\nX-A: one\r\n two\r\n', '2026-03-01 10:00:00.25+01', '2026-03-01 09:00:01', 1772355600.5, 600, 'waiting'),
    ('00000000-0000-0000-0000-00000000000b', 2, 'Bob', 42, 'example.org', NULL, NULL, '', NULL,
     '2026-03-01 09:00:02Z', NULL, NULL, NULL, 'delivered'),
    ('00000000-0000-0000-0000-00000000000c', 3, 'o''brien" OR ''1''=''1', 7, 'example.org', NULL, NULL, 'for her', NULL,
     'infinity', NULL, NULL, NULL, 'waiting');
CREATE TABLE secret (x integer);
