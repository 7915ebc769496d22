-- What a process needs to go on with a run whose process has died; NULL once the run has ended.
-- The request that started the run: its id, and what the client said about itself. JSON.
ALTER TABLE runs ADD COLUMN request text;
-- What the run had used when its last step was stored. JSON.
ALTER TABLE runs ADD COLUMN used text;
