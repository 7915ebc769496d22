DROP INDEX threads_temporary;
ALTER TABLE threads DROP COLUMN temporary;
