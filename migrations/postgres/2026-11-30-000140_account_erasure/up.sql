CREATE TABLE account_erasures (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    requested_at timestamptz NOT NULL
);
CREATE TABLE erased_identities (
    identity_hash text PRIMARY KEY,
    erased_at timestamptz NOT NULL
);
CREATE TABLE anonymous_usage (
    day bigint PRIMARY KEY,
    runs bigint NOT NULL,
    unpriced_runs bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_micros bigint NOT NULL
);
