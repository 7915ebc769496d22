-- What the user's attachments may come to is kept, not counted, so that the limit is one conditional UPDATE.
ALTER TABLE users ADD COLUMN attachment_bytes INTEGER NOT NULL DEFAULT 0 CHECK (attachment_bytes >= 0);

CREATE TABLE attachments (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    thread_id BLOB REFERENCES threads (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    size INTEGER NOT NULL CHECK (size > 0),
    ready INTEGER NOT NULL CHECK (ready IN (0, 1)),
    upload_id BLOB,
    received INTEGER NOT NULL CHECK (received BETWEEN 0 AND size),
    created_at INTEGER NOT NULL
) STRICT;

-- For the cascades.
CREATE INDEX attachments_of_user ON attachments (user_id);
CREATE INDEX attachments_of_thread ON attachments (thread_id) WHERE thread_id IS NOT NULL;

-- Finds those that no message has taken.
CREATE INDEX attachments_unused ON attachments (created_at) WHERE thread_id IS NULL;

-- Attachments that are gone, and whose bytes may still be in the storage: it takes no part in transactions.
CREATE TABLE attachment_leftovers (
    attachment_id BLOB NOT NULL PRIMARY KEY,
    deleted_at INTEGER NOT NULL
) STRICT;

CREATE INDEX attachment_leftovers_by_age ON attachment_leftovers (deleted_at);

-- A trigger, as rows also go with their thread or their user.
CREATE TRIGGER attachments_deleted AFTER DELETE ON attachments BEGIN
    INSERT INTO attachment_leftovers (attachment_id, deleted_at)
    VALUES (OLD.id, CAST(unixepoch('subsec') * 1000000 AS INTEGER));
    UPDATE users SET attachment_bytes = attachment_bytes - OLD.size WHERE id = OLD.user_id;
END;
