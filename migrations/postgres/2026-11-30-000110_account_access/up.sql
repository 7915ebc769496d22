ALTER TABLE users ADD COLUMN token_generation bigint NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN tokens_after timestamptz;
ALTER TABLE users ADD COLUMN disabled_at timestamptz;
CREATE TABLE access_changes (
    id uuid PRIMARY KEY,
    subject_id uuid NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE INDEX access_changes_changed_at ON access_changes (changed_at);
