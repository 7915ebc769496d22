-- What a user has done as an operator, for the archive of the user and for the erasure.
CREATE INDEX audit_log_of_actor ON audit_log (actor, id);
