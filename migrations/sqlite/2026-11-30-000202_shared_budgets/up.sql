-- What all users together have used of the budgets that they share, a row for each budget and UTC day: `all`, or `agent:NAME`.
CREATE TABLE budget_days (
    scope TEXT NOT NULL,
    day INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    held_tokens INTEGER NOT NULL,
    held_micros INTEGER NOT NULL,
    PRIMARY KEY (scope, day)
) STRICT, WITHOUT ROWID;

-- The shared budgets that hold what the run holds of its user's, a scope per line.
ALTER TABLE runs ADD COLUMN budget_scopes TEXT NOT NULL DEFAULT '';
