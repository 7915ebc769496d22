-- Failed logins, by the SHA-256 of the email in hexadecimal digits: also of emails that have no account. Rows are removed
-- a day after the last attempt.
CREATE TABLE login_failures (
    email_hash text PRIMARY KEY,
    failures bigint NOT NULL,
    last_at timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
);
CREATE INDEX login_failures_last_at ON login_failures (last_at);
