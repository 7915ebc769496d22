-- What a user's runs have used, a row for each UTC day; `day` counts from 1970-01-01. Not derived from `runs`: deleting a
-- conversation must not give its budget back.
CREATE TABLE usage_days (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    day INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    unpriced_runs INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    held_tokens INTEGER NOT NULL,
    held_micros INTEGER NOT NULL,
    PRIMARY KEY (user_id, day)
) STRICT, WITHOUT ROWID;

-- What is held of a budget while the run goes on, and what it cost.
ALTER TABLE runs ADD COLUMN held_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN held_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cost_micros INTEGER;
