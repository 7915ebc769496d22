CREATE TABLE tasks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    description TEXT,
    priority TEXT NOT NULL CHECK (priority IN ('low', 'medium', 'high')),
    tags TEXT NOT NULL,
    completed INTEGER NOT NULL CHECK (completed IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    completed_at INTEGER,
    CONSTRAINT tasks_completion CHECK ((completed_at IS NOT NULL) = completed)
) STRICT;

-- Ids sort by the time they were made, so this is also newest first.
CREATE INDEX tasks_of_user ON tasks (user_id, id DESC);
