-- What is held of budgets by work that has no row of an active run: transcriptions, and runs that were deleted with their
-- threads. Whoever deletes a row books its work, so it is booked once. The row of a dead process is booked by another.
CREATE TABLE budget_holds (
    id uuid PRIMARY KEY,
    -- No foreign key: the user may be erased before the work ends.
    user_id uuid NOT NULL,
    owner uuid NOT NULL,
    lease_expires_at timestamptz NOT NULL,
    day bigint NOT NULL,
    -- 1 for a run, and 0 for other work.
    runs bigint NOT NULL,
    tokens bigint NOT NULL,
    micros bigint NOT NULL,
    -- The shared budgets that hold as much, a scope per line.
    scopes text NOT NULL,
    -- What is charged if the process dies: `used` of the run, or else these numbers.
    used text,
    prompt_tokens bigint NOT NULL,
    cost_micros bigint
);
