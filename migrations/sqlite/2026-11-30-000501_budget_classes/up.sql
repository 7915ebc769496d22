-- The budget class of a user, as the operator has set it, as the identity provider says, or of the service that acts for the
-- user. The classes themselves are in the agents file.
ALTER TABLE users ADD COLUMN budget_class TEXT;
ALTER TABLE foreign_identities ADD COLUMN budget_class TEXT;
ALTER TABLE service_keys ADD COLUMN budget_class TEXT;
