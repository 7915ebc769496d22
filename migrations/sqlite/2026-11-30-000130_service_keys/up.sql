CREATE TABLE service_keys (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    key_hash TEXT NOT NULL UNIQUE,
    methods TEXT NOT NULL,
    users TEXT NOT NULL,
    requests_per_minute INTEGER CHECK (requests_per_minute > 0),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE TABLE cancelled_tokens (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE audit_log (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    key_id BLOB,
    user_id BLOB,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    request_id TEXT,
    address TEXT
) STRICT;
CREATE INDEX audit_log_at ON audit_log (at);
CREATE INDEX audit_log_user_id ON audit_log (user_id);
