DROP INDEX audit_log_of_user;
DROP INDEX usage_days_by_day;
DROP INDEX feedback_by_time;
DROP INDEX runs_live;
DROP INDEX users_by_email_bytes;
DROP TABLE user_roles;
