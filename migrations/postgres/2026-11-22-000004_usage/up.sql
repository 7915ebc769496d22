-- What a user's runs have used, a row for each UTC day; `day` counts from 1970-01-01. Not derived from `runs`: deleting a
-- conversation must not give its budget back.
CREATE TABLE usage_days (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    day bigint NOT NULL,
    runs bigint NOT NULL,
    unpriced_runs bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_micros bigint NOT NULL,
    held_tokens bigint NOT NULL,
    held_micros bigint NOT NULL,
    PRIMARY KEY (user_id, day)
);

-- What is held of a budget while the run goes on, and what it cost.
ALTER TABLE runs ADD COLUMN held_tokens bigint NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN held_micros bigint NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cost_micros bigint;
