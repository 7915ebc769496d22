-- The key is claimed before the thread it makes exists, in one transaction: hence the deferred foreign key.
CREATE TABLE submissions (
    user_id uuid NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,
    thread_id uuid NOT NULL REFERENCES threads (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    run_id uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);

-- For the cascade from threads.
CREATE INDEX submissions_of_thread ON submissions (thread_id);

-- Finds the old ones, which are forgotten.
CREATE INDEX submissions_by_age ON submissions (created_at);
