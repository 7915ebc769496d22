CREATE TABLE foreign_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL CONSTRAINT foreign_identities_user_id UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    email text,
    roles text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
