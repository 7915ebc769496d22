CREATE TABLE threads (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    title_is_set INTEGER NOT NULL CHECK (title_is_set IN (0, 1)),
    status TEXT NOT NULL CHECK (status IN ('active', 'locked', 'closed')),
    status_reason TEXT,
    archived INTEGER NOT NULL CHECK (archived IN (0, 1)),
    metadata TEXT NOT NULL,
    message_count INTEGER NOT NULL CHECK (message_count >= 0),
    next_position INTEGER NOT NULL CHECK (next_position >= 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- The list of a user's threads is a range of this index, in its order.
CREATE INDEX threads_by_use ON threads (user_id, archived, updated_at DESC, id DESC);

-- Finds threads nobody has touched for long; those already archived are not looked at again.
CREATE INDEX threads_idle ON threads (updated_at) WHERE NOT archived;
