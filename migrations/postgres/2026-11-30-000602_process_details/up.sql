-- What operators read about a process. NULL in rows of earlier versions, which do not write them.
ALTER TABLE processes ADD COLUMN host text;
ALTER TABLE processes ADD COLUMN address text;
ALTER TABLE processes ADD COLUMN version text;
ALTER TABLE processes ADD COLUMN started_at timestamptz;
ALTER TABLE processes ADD COLUMN draining_since timestamptz;
