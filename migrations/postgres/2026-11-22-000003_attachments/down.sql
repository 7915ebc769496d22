DROP TABLE attachments;
DROP FUNCTION attachment_deleted;
DROP TABLE attachment_leftovers;
ALTER TABLE users DROP COLUMN attachment_bytes;
