ALTER TABLE processes DROP COLUMN draining_since;
ALTER TABLE processes DROP COLUMN started_at;
ALTER TABLE processes DROP COLUMN version;
ALTER TABLE processes DROP COLUMN address;
ALTER TABLE processes DROP COLUMN host;
