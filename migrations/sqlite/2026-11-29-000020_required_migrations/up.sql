-- Migrations that a process must know to use this schema. A migration that takes something away adds the one since which
-- no process needs it. A process that does not know all of them refuses to start.
CREATE TABLE required_migrations (
    version TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
