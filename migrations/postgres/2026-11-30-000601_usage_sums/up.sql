-- What all users have used on a UTC day, by agent and model, for the console: summed when usage is booked, because a sum over
-- the rows of all users takes seconds. Several rows per day, so that runs that end at the same time do not wait for one row.
-- An empty agent or model is one that is not known.
CREATE TABLE usage_sums (
    day bigint NOT NULL,
    agent text NOT NULL,
    model text NOT NULL,
    slot bigint NOT NULL,
    -- Accounts whose first usage of the day was booked here.
    users bigint NOT NULL,
    runs bigint NOT NULL,
    unpriced_runs bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_micros bigint NOT NULL,
    PRIMARY KEY (day, agent, model, slot)
);

-- What each user has used in a calendar month (UTC), counted from January 1970.
CREATE TABLE usage_months (
    month bigint NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    runs bigint NOT NULL,
    unpriced_runs bigint NOT NULL,
    tokens bigint NOT NULL,
    cost_micros bigint NOT NULL,
    PRIMARY KEY (user_id, month)
);

INSERT INTO usage_sums
SELECT day, '', '', 0, sum(users), least(sum(runs), 2305843009213693951), least(sum(unpriced_runs), 2305843009213693951),
    least(sum(prompt_tokens), 2305843009213693951), least(sum(completion_tokens), 2305843009213693951),
    least(sum(cost_micros), 2305843009213693951)
FROM (
    SELECT day, 1 AS users, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros FROM usage_days
    UNION ALL
    SELECT day, 0, runs, unpriced_runs, prompt_tokens, completion_tokens, cost_micros FROM anonymous_usage
) AS used
GROUP BY day;

INSERT INTO usage_months
SELECT month, user_id, least(sum(runs), 2305843009213693951), least(sum(unpriced_runs), 2305843009213693951),
    least(sum(prompt_tokens::numeric + completion_tokens), 2305843009213693951),
    least(sum(cost_micros), 2305843009213693951)
FROM (
    SELECT *, (extract(year FROM date '1970-01-01' + day::integer)::bigint - 1970) * 12
        + extract(month FROM date '1970-01-01' + day::integer)::bigint - 1 AS month
    FROM usage_days
) AS used
GROUP BY month, user_id;

-- Who has used most in a month.
CREATE INDEX usage_months_top ON usage_months (month, cost_micros, tokens, user_id);
