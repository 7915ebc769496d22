CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL CONSTRAINT users_email UNIQUE,
    password_hash text NOT NULL,
    session_count bigint NOT NULL CHECK (session_count >= 0),
    created_at timestamptz NOT NULL
);
