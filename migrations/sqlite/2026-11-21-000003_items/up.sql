-- No foreign key on run_id: an item and its run go with their thread, and an append checks one key less.
CREATE TABLE items (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    thread_id BLOB NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    run_id BLOB,
    position INTEGER NOT NULL CHECK (position >= 0),
    kind TEXT NOT NULL,
    hidden INTEGER NOT NULL CHECK (hidden IN (0, 1)),
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Pages and history are ranges of this index; unique, so that no two items can claim one place.
CREATE UNIQUE INDEX items_in_order ON items (thread_id, position);

CREATE INDEX items_of_run ON items (run_id);
