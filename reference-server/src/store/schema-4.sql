-- Bindings that lead through others: proxies that put themselves into Path, and the core that registers for a user.

ALTER TABLE binding ADD COLUMN target TEXT;                   -- NULL: the contact
ALTER TABLE binding ADD COLUMN route  TEXT NOT NULL DEFAULT '';   -- one value a line, in order
