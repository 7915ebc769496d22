CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    session_count INTEGER NOT NULL CHECK (session_count >= 0),
    created_at INTEGER NOT NULL
) STRICT;
