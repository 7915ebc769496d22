-- No foreign key on run_id: an item and its run go with their thread, and an append checks one key less.
CREATE TABLE items (
    id uuid PRIMARY KEY,
    thread_id uuid NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    run_id uuid,
    position bigint NOT NULL CHECK (position >= 0),
    kind text NOT NULL,
    hidden boolean NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL
);

-- Pages and history are ranges of this index; unique, so that no two items can claim one place.
CREATE UNIQUE INDEX items_in_order ON items (thread_id, position);

CREATE INDEX items_of_run ON items (run_id);
