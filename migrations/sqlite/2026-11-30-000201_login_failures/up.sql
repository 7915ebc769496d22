-- Failed logins, by the SHA-256 of the email in hexadecimal digits: also of emails that have no account. Rows are removed
-- a day after the last attempt.
CREATE TABLE login_failures (
    email_hash TEXT NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    blocked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX login_failures_last_at ON login_failures (last_at);
