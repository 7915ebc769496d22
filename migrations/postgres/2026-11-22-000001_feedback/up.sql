-- What users think of items: one opinion each, the latest. It goes with the item, and both with the thread.
CREATE TABLE feedback (
    item_id uuid NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    thread_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('positive', 'negative')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (item_id, user_id)
);

-- Pages of a thread's feedback are ranges of this index.
CREATE INDEX feedback_of_thread ON feedback (thread_id, user_id, item_id);
