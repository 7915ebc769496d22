-- Threads that are listed nowhere, and deleted some hours after their last use.
ALTER TABLE threads ADD COLUMN temporary boolean NOT NULL DEFAULT false;
CREATE INDEX threads_temporary ON threads (user_id, updated_at) WHERE temporary;
