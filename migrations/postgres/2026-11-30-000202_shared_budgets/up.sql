-- What all users together have used of the budgets that they share, a row for each budget and UTC day: `all`, or `agent:NAME`.
CREATE TABLE budget_days (
    scope text NOT NULL,
    day bigint NOT NULL,
    tokens bigint NOT NULL,
    cost_micros bigint NOT NULL,
    held_tokens bigint NOT NULL,
    held_micros bigint NOT NULL,
    PRIMARY KEY (scope, day)
);

-- The shared budgets that hold what the run holds of its user's, a scope per line.
ALTER TABLE runs ADD COLUMN budget_scopes text NOT NULL DEFAULT '';
