DROP TABLE attachments;
DROP TABLE attachment_leftovers;
ALTER TABLE users DROP COLUMN attachment_bytes;
