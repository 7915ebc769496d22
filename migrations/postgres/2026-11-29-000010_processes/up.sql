-- Processes that serve the database. A process that holds its lock says so here: then the others know that it is gone when
-- the lock is free, and need not wait for its leases.
CREATE TABLE processes (
    id uuid NOT NULL PRIMARY KEY,
    holds_lock boolean NOT NULL,
    seen_at timestamptz NOT NULL
);
