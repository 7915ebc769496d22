-- What is held of budgets by work that has no row of an active run: transcriptions, and runs that were deleted with their
-- threads. Whoever deletes a row books its work, so it is booked once. The row of a dead process is booked by another.
CREATE TABLE budget_holds (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- No foreign key: the user may be erased before the work ends.
    user_id BLOB NOT NULL,
    owner BLOB NOT NULL,
    lease_expires_at INTEGER NOT NULL,
    day INTEGER NOT NULL,
    -- 1 for a run, and 0 for other work.
    runs INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    micros INTEGER NOT NULL,
    -- The shared budgets that hold as much, a scope per line.
    scopes TEXT NOT NULL,
    -- What is charged if the process dies: `used` of the run, or else these numbers.
    used TEXT,
    prompt_tokens INTEGER NOT NULL,
    cost_micros INTEGER
) STRICT;
