-- What models read in place of the oldest turns of a thread. Derived from the items; a row can go at any time.
CREATE TABLE thread_summaries (
    thread_id uuid NOT NULL PRIMARY KEY REFERENCES threads (id) ON DELETE CASCADE,
    -- Position of the last item in the summary; -1 if there is no summary yet.
    through_position bigint NOT NULL,
    text text NOT NULL,
    -- The job that writes the next summary; NULL if there is none.
    job_id uuid,
    -- No other job begins before this time: while one is at work, and for a while after one has failed.
    next_job_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
