-- How the answer of a run ended; NULL before the end, and of runs that ended before this column.
ALTER TABLE runs ADD COLUMN finish_reason text;
