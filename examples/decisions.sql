-- What was decided on each application, as it stands now. SQLite and PostgreSQL.
CREATE TABLE IF NOT EXISTS decisions (
    application_id         TEXT PRIMARY KEY,
    decision_id            TEXT NOT NULL,
    decision               TEXT NOT NULL,
    probability_of_default DOUBLE PRECISION NOT NULL,
    bundle                 TEXT NOT NULL,
    source_offset          BIGINT NOT NULL, -- of the application's record
    written_offset         BIGINT NOT NULL, -- of the decision's own record
    supersedes             TEXT NOT NULL,   -- of a correction: the decision_id that it takes the place of; else ''
    replay_id              TEXT NOT NULL    -- of a correction: the replay that wrote it; else ''
);
