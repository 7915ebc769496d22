-- Tools whose calls the user of a thread has approved for the rest of the thread.
CREATE TABLE tool_approvals (
    thread_id uuid NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    tool text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (thread_id, tool)
);
