CREATE TABLE account_erasures (
    user_id BLOB NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    requested_at INTEGER NOT NULL
) STRICT;
CREATE TABLE erased_identities (
    identity_hash TEXT NOT NULL PRIMARY KEY,
    erased_at INTEGER NOT NULL
) STRICT;
CREATE TABLE anonymous_usage (
    day INTEGER NOT NULL PRIMARY KEY,
    runs INTEGER NOT NULL,
    unpriced_runs INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL
) STRICT;
