DROP TABLE access_changes;
ALTER TABLE users DROP COLUMN disabled_at;
ALTER TABLE users DROP COLUMN tokens_after;
ALTER TABLE users DROP COLUMN token_generation;
