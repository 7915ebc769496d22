-- The key is claimed before the thread it makes exists, in one transaction: hence the deferred foreign key.
CREATE TABLE submissions (
    user_id BLOB NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    thread_id BLOB NOT NULL REFERENCES threads (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    run_id BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

-- For the cascade from threads.
CREATE INDEX submissions_of_thread ON submissions (thread_id);

-- Finds the old ones, which are forgotten.
CREATE INDEX submissions_by_age ON submissions (created_at);
