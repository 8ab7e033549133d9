-- The password itself, not a hash of it: each algorithm of digest authentication makes its own (RFC 8760
-- §2.2), and which ones are asked for may change.
ALTER TABLE account ADD COLUMN password TEXT;
