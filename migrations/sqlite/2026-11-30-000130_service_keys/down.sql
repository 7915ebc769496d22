DROP TABLE audit_log;
DROP TABLE cancelled_tokens;
DROP TABLE service_keys;
