-- The same mailbox in MySQL's types.
CREATE TABLE inbox (
    id char(36) NOT NULL, place bigint unsigned PRIMARY KEY, owner varchar(64) NOT NULL, number integer NOT NULL,
    realm char(12) NOT NULL, sender varchar(200) CHARACTER SET latin1, kind text, body blob, extra mediumtext,
    received timestamp(6) NULL, kept datetime, expires decimal(16,3), lifetime smallint,
    how enum('waiting', 'delivered') NOT NULL
);
SET time_zone = '+01:00', sql_mode = '';
INSERT INTO inbox VALUES
    ('00000000-0000-0000-0000-00000000000a', 1, 'Bob', 42, 'example.org', '<sip:alice@example.org>', 'text/plain', x'00ff0a',
     'Subject: Grüße\r\nX-A: one\r\n two\r\n', '2026-03-01 10:00:00.25', '2026-03-01 09:00:01', 1772355600.5, 600, 'waiting'),
    ('00000000-0000-0000-0000-00000000000b', 2, 'Bob', 42, 'example.org', NULL, NULL, '', NULL,
     '2026-03-01 10:00:02', '0000-00-00 00:00:00', NULL, NULL, 'delivered'),
    ('00000000-0000-0000-0000-00000000000c', 3, 'o''brien" OR ''1''=''1', 7, 'example.org', NULL, NULL, 'for her', NULL,
     NULL, NULL, NULL, NULL, 'waiting');
CREATE TABLE secret (x integer);
