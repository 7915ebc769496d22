-- What the user's attachments may come to is kept, not counted, so that the limit is one conditional UPDATE.
ALTER TABLE users ADD COLUMN attachment_bytes bigint NOT NULL DEFAULT 0 CHECK (attachment_bytes >= 0);

CREATE TABLE attachments (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    thread_id uuid REFERENCES threads (id) ON DELETE CASCADE,
    name text NOT NULL,
    mime_type text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    ready boolean NOT NULL,
    upload_id uuid,
    received bigint NOT NULL CHECK (received BETWEEN 0 AND size),
    created_at timestamptz NOT NULL
);

-- For the cascades.
CREATE INDEX attachments_of_user ON attachments (user_id);
CREATE INDEX attachments_of_thread ON attachments (thread_id) WHERE thread_id IS NOT NULL;

-- Finds those that no message has taken.
CREATE INDEX attachments_unused ON attachments (created_at) WHERE thread_id IS NULL;

-- Attachments that are gone, and whose bytes may still be in the storage: it takes no part in transactions.
CREATE TABLE attachment_leftovers (
    attachment_id uuid PRIMARY KEY,
    deleted_at timestamptz NOT NULL
);

CREATE INDEX attachment_leftovers_by_age ON attachment_leftovers (deleted_at);

-- A trigger, as rows also go with their thread or their user.
CREATE FUNCTION attachment_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO attachment_leftovers (attachment_id, deleted_at) VALUES (OLD.id, clock_timestamp());
    UPDATE users SET attachment_bytes = attachment_bytes - OLD.size WHERE id = OLD.user_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER attachments_deleted AFTER DELETE ON attachments FOR EACH ROW EXECUTE FUNCTION attachment_deleted();
