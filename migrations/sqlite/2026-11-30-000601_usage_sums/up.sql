-- What all users have used on a UTC day, by agent and model, for the console: summed when usage is booked, because a sum over
-- the rows of all users takes seconds. Several rows per day, so that runs that end at the same time do not wait for one row.
-- An empty agent or model is one that is not known.
CREATE TABLE usage_sums (
    day INTEGER NOT NULL,
    agent TEXT NOT NULL,
    model TEXT NOT NULL,
    slot INTEGER NOT NULL,
    -- Accounts whose first usage of the day was booked here.
    users INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    unpriced_runs INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    PRIMARY KEY (day, agent, model, slot)
) STRICT, WITHOUT ROWID;

-- What each user has used in a calendar month (UTC), counted from January 1970.
CREATE TABLE usage_months (
    month INTEGER NOT NULL,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    runs INTEGER NOT NULL,
    unpriced_runs INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    PRIMARY KEY (user_id, month)
) STRICT, WITHOUT ROWID;

INSERT INTO usage_sums
SELECT day, '', '', 0, sum(users), CAST(min(total(runs), 2305843009213693951) AS INTEGER),
    CAST(min(total(unpriced_runs), 2305843009213693951) AS INTEGER),
    CAST(min(total(prompt_tokens), 2305843009213693951) AS INTEGER),
    CAST(min(total(completion_tokens), 2305843009213693951) AS INTEGER),
    CAST(min(total(cost_micros), 2305843009213693951) AS INTEGER)
FROM (
    SELECT day, 1 AS users, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros FROM usage_days
    UNION ALL
    SELECT day, 0, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros FROM anonymous_usage
)
GROUP BY day;

INSERT INTO usage_months
SELECT month, user_id, CAST(min(total(runs), 2305843009213693951) AS INTEGER),
    CAST(min(total(unpriced_runs), 2305843009213693951) AS INTEGER),
    CAST(min(total(prompt_tokens) + total(completion_tokens), 2305843009213693951) AS INTEGER),
    CAST(min(total(cost_micros), 2305843009213693951) AS INTEGER)
FROM (
    SELECT *, (CAST(strftime('%Y', day * 86400, 'unixepoch') AS INTEGER) - 1970) * 12
        + CAST(strftime('%m', day * 86400, 'unixepoch') AS INTEGER) - 1 AS month
    FROM usage_days
)
GROUP BY month, user_id;

-- Who has used most in a month.
CREATE INDEX usage_months_top ON usage_months (month, cost_micros, tokens, user_id);
