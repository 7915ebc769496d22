-- Roles that the operator has given to users. An identity provider's roles are in foreign_identities.
CREATE TABLE user_roles (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text NOT NULL,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, role)
);

-- What the console lists: users by the beginning of their email, live runs, the newest feedback, usage of all users per day,
-- and what the audit log has about a user.
CREATE INDEX users_by_email_bytes ON users (email COLLATE "C");
CREATE INDEX runs_live ON runs (id) WHERE finished_at IS NULL;
CREATE INDEX feedback_by_time ON feedback (created_at, item_id);
CREATE INDEX usage_days_by_day ON usage_days (day);
CREATE INDEX audit_log_of_user ON audit_log (user_id, at, id);
