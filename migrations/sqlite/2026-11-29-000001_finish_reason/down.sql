ALTER TABLE runs DROP COLUMN finish_reason;
