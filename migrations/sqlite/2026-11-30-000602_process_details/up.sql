-- What operators read about a process. NULL in rows of earlier versions, which do not write them.
ALTER TABLE processes ADD COLUMN host TEXT;
ALTER TABLE processes ADD COLUMN address TEXT;
ALTER TABLE processes ADD COLUMN version TEXT;
ALTER TABLE processes ADD COLUMN started_at INTEGER;
ALTER TABLE processes ADD COLUMN draining_since INTEGER;
