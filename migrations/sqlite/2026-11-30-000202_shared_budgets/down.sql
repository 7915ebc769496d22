ALTER TABLE runs DROP COLUMN budget_scopes;
DROP TABLE budget_days;
