CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title text NOT NULL,
    description text,
    priority text NOT NULL CHECK (priority IN ('low', 'medium', 'high')),
    tags text NOT NULL,
    completed boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    completed_at timestamptz,
    CONSTRAINT tasks_completion CHECK ((completed_at IS NOT NULL) = completed)
);

-- Ids sort by the time they were made, so this is also newest first.
CREATE INDEX tasks_of_user ON tasks (user_id, id DESC);
