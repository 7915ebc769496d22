ALTER TABLE users ADD COLUMN token_generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN tokens_after INTEGER;
ALTER TABLE users ADD COLUMN disabled_at INTEGER;
CREATE TABLE access_changes (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    subject_id BLOB NOT NULL CHECK (length(subject_id) = 16),
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX access_changes_changed_at ON access_changes (changed_at);
