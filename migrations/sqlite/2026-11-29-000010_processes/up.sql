-- Processes that serve the database. A process that holds its lock says so here: then the others know that it is gone when
-- the lock is free, and need not wait for its leases.
CREATE TABLE processes (
    id BLOB NOT NULL PRIMARY KEY,
    holds_lock INTEGER NOT NULL CHECK (holds_lock IN (0, 1)),
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
