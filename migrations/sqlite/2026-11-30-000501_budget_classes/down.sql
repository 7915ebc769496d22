ALTER TABLE service_keys DROP COLUMN budget_class;
ALTER TABLE foreign_identities DROP COLUMN budget_class;
ALTER TABLE users DROP COLUMN budget_class;
