-- Threads that are listed nowhere, and deleted some hours after their last use.
ALTER TABLE threads ADD COLUMN temporary INTEGER NOT NULL DEFAULT 0 CHECK (temporary IN (0, 1));
CREATE INDEX threads_temporary ON threads (user_id, updated_at) WHERE temporary;
