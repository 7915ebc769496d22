-- How often models and tools have failed, a row for each hour (counted from 1970-01-01 UTC), part and error code.
CREATE TABLE error_hours (
    hour INTEGER NOT NULL,
    -- `model` or `tool`.
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, kind, name, code)
) STRICT, WITHOUT ROWID;
