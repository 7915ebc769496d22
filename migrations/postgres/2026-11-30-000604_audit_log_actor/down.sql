DROP INDEX audit_log_of_actor;
