-- Tools whose calls the user of a thread has approved for the rest of the thread.
CREATE TABLE tool_approvals (
    thread_id BLOB NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    tool TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (thread_id, tool)
) STRICT, WITHOUT ROWID;
