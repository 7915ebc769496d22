-- How often models and tools have failed, a row for each hour (counted from 1970-01-01 UTC), part and error code.
CREATE TABLE error_hours (
    hour bigint NOT NULL,
    -- `model` or `tool`.
    kind text NOT NULL,
    name text NOT NULL,
    code text NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (hour, kind, name, code)
);
