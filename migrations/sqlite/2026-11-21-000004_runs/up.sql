-- A run is active until it has an end. The check ties the two together, so that queries and partial indexes can ask
-- for `finished_at IS NULL`, which needs no parameter: a planner cannot match a partial index against one.
CREATE TABLE runs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    thread_id BLOB NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled', 'interrupted')),
    owner BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    lease_expires_at INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    error_code TEXT,
    error_message TEXT,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    message_id BLOB,
    log_kept INTEGER NOT NULL CHECK (log_kept IN (0, 1)),
    cancel_requested_at INTEGER,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    CONSTRAINT runs_end CHECK ((finished_at IS NULL) = (status IN ('queued', 'running')))
) STRICT;

-- A thread answers one message at a time, whichever process is asked.
CREATE UNIQUE INDEX runs_active ON runs (thread_id) WHERE finished_at IS NULL;

CREATE INDEX runs_by_lease ON runs (lease_expires_at) WHERE finished_at IS NULL;

-- For the cascade from threads, and to follow a thread from run to run.
CREATE INDEX runs_of_thread ON runs (thread_id, position);

-- What an owner looks through when nobody could tell it.
CREATE INDEX runs_to_cancel ON runs (owner) WHERE finished_at IS NULL AND cancel_requested_at IS NOT NULL;

-- Finds runs whose events have been kept for long enough.
CREATE INDEX runs_to_trim ON runs (finished_at) WHERE log_kept;

-- A row covers first_seq..=last_seq. Neighbouring pieces of one text are one row; `cuts` says where they end.
CREATE TABLE run_events (
    run_id BLOB NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    first_seq INTEGER NOT NULL CHECK (first_seq > 0),
    last_seq INTEGER NOT NULL CHECK (last_seq >= first_seq),
    event TEXT NOT NULL,
    cuts TEXT,
    PRIMARY KEY (run_id, first_seq)
) STRICT, WITHOUT ROWID;
