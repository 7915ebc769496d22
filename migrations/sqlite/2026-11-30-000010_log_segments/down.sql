ALTER TABLE processes DROP COLUMN reads_segments;
ALTER TABLE processes DROP COLUMN fence;
DROP TABLE log_segments;
