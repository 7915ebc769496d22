-- Roles that the operator has given to users. An identity provider's roles are in foreign_identities.
CREATE TABLE user_roles (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, role)
) STRICT, WITHOUT ROWID;

-- What the console lists: live runs, the newest feedback, usage of all users per day,
-- and what the audit log has about a user. The unique index of emails is in the
-- order of bytes already.
CREATE INDEX runs_live ON runs (id) WHERE finished_at IS NULL;
CREATE INDEX feedback_by_time ON feedback (created_at, item_id);
CREATE INDEX usage_days_by_day ON usage_days (day);
CREATE INDEX audit_log_of_user ON audit_log (user_id, at, id);
