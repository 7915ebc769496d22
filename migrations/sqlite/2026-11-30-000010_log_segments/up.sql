-- What the active runs of a process have emitted and `run_events` does not have yet: one row per tick of its journal, for
-- all its runs. A run's events move to `run_events` when it ends, or after a while; then the rows here are deleted.
CREATE TABLE log_segments (
    process_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    events BLOB NOT NULL,
    PRIMARY KEY (process_id, number)
) STRICT, WITHOUT ROWID;

-- Raised by whoever takes over runs of the process. Its journal writes only while it knows the current value.
ALTER TABLE processes ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
-- Whether the process reads `log_segments`. While one does not, nobody writes them. One process serves a file, so no row of
-- an earlier one counts.
ALTER TABLE processes ADD COLUMN reads_segments INTEGER NOT NULL DEFAULT 1 CHECK (reads_segments IN (0, 1));
