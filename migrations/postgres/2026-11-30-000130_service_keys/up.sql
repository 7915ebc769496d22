CREATE TABLE service_keys (
    id uuid PRIMARY KEY,
    name text NOT NULL CONSTRAINT service_keys_name UNIQUE,
    key_hash text NOT NULL CONSTRAINT service_keys_key_hash UNIQUE,
    methods text NOT NULL,
    users text NOT NULL,
    requests_per_minute bigint CHECK (requests_per_minute > 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
CREATE TABLE cancelled_tokens (
    id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    key_id uuid,
    user_id uuid,
    action text NOT NULL,
    outcome text NOT NULL,
    request_id text,
    address text
);
CREATE INDEX audit_log_at ON audit_log (at);
CREATE INDEX audit_log_user_id ON audit_log (user_id);
