ALTER TABLE runs DROP COLUMN cost_micros;
ALTER TABLE runs DROP COLUMN held_micros;
ALTER TABLE runs DROP COLUMN held_tokens;
DROP TABLE usage_days;
