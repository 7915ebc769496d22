CREATE TABLE threads (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title text NOT NULL,
    title_is_set boolean NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'locked', 'closed')),
    status_reason text,
    archived boolean NOT NULL,
    metadata text NOT NULL,
    message_count bigint NOT NULL CHECK (message_count >= 0),
    next_position bigint NOT NULL CHECK (next_position >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- The list of a user's threads is a range of this index, in its order.
CREATE INDEX threads_by_use ON threads (user_id, archived, updated_at DESC, id DESC);

-- Finds threads nobody has touched for long; those already archived are not looked at again.
CREATE INDEX threads_idle ON threads (updated_at) WHERE NOT archived;
