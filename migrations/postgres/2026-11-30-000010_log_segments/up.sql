-- What the active runs of a process have emitted and `run_events` does not have yet: one row per tick of its journal, for
-- all its runs. A run's events move to `run_events` when it ends, or after a while; then the rows here are deleted.
CREATE TABLE log_segments (
    process_id uuid NOT NULL,
    number bigint NOT NULL,
    events bytea NOT NULL,
    PRIMARY KEY (process_id, number)
);
-- Not compressed: the rows live for seconds.
ALTER TABLE log_segments ALTER COLUMN events SET STORAGE EXTERNAL;

-- Raised by whoever takes over runs of the process. Its journal writes only while it knows the current value.
ALTER TABLE processes ADD COLUMN fence bigint NOT NULL DEFAULT 0;
-- Whether the process reads `log_segments`. While one does not, nobody writes them.
ALTER TABLE processes ADD COLUMN reads_segments boolean NOT NULL DEFAULT false;
