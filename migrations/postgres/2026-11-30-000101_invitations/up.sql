CREATE TABLE invitations (
    id uuid PRIMARY KEY,
    code_hash text NOT NULL CONSTRAINT invitations_code_hash UNIQUE,
    email text,
    uses_left bigint NOT NULL CHECK (uses_left >= 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
