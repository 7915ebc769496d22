-- The message that a run answers again. What stands behind it goes when the run completes, and only then.
ALTER TABLE runs ADD COLUMN retry_of BLOB;
