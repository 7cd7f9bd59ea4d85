-- A table of all decisions, and a view of the current decision per application, for SQLite and PostgreSQL.
CREATE TABLE IF NOT EXISTS decision_records (
    written_partition      BIGINT NOT NULL, -- with written_offset: position of the decision's record
    written_offset         BIGINT NOT NULL,
    written_at             BIGINT NOT NULL, -- that record's timestamp, in milliseconds since 1970
    application_id         TEXT NOT NULL,
    decision_id            TEXT NOT NULL,
    decision               TEXT NOT NULL,
    probability_of_default DOUBLE PRECISION NOT NULL,
    bundle                 TEXT NOT NULL,
    source_topic           TEXT NOT NULL,   -- with the next two: position of the application's record
    source_partition       BIGINT NOT NULL,
    source_offset          BIGINT NOT NULL,
    supersedes             TEXT NOT NULL,   -- of a correction: the decision_id of the decision that it replaces; default: ''
    replay_id              TEXT NOT NULL,   -- of a correction: the replay that wrote it; default: ''
    reasons                TEXT NOT NULL DEFAULT '', -- codes, separated by spaces, the most important one first
    PRIMARY KEY (written_partition, written_offset)
);
CREATE INDEX IF NOT EXISTS decision_records_by_application ON decision_records (application_id);
DROP VIEW IF EXISTS decisions;
CREATE VIEW decisions AS
WITH stepped AS ( -- first decisions that nothing supersedes, then those that were published more often than superseded
    SELECT written.*,
        CASE WHEN NOT EXISTS (
            SELECT * FROM decision_records AS other
            WHERE (other.application_id, other.source_topic, other.source_partition, other.source_offset)
                = (written.application_id, written.source_topic, written.source_partition, written.source_offset)
            AND other.supersedes = written.decision_id AND other.decision_id <> written.decision_id
        ) THEN 0 WHEN ( -- duplicates count once
            SELECT count(DISTINCT other.supersedes || ' ' || other.replay_id) FROM decision_records AS other
            WHERE (other.application_id, other.source_topic, other.source_partition, other.source_offset)
                = (written.application_id, written.source_topic, written.source_partition, written.source_offset)
            AND other.decision_id = written.decision_id AND other.supersedes <> written.decision_id
        ) > (
            SELECT count(DISTINCT other.decision_id || ' ' || other.replay_id) FROM decision_records AS other
            WHERE (other.application_id, other.source_topic, other.source_partition, other.source_offset)
                = (written.application_id, written.source_topic, written.source_partition, written.source_offset)
            AND other.supersedes = written.decision_id AND other.decision_id <> written.decision_id
        ) THEN 1 ELSE 2 END AS step,
        -- order of publication: by offset within a partition, by timestamp between partitions
        max(written.written_at) OVER (
            PARTITION BY written.application_id, written.source_topic, written.source_partition, written.source_offset,
                written.written_partition
            ORDER BY written.written_offset
        ) AS latest_at
    FROM decision_records AS written
),
of_record AS ( -- the current decision per record of the application has place 1
    SELECT stepped.*, row_number() OVER (
        PARTITION BY application_id, source_topic, source_partition, source_offset
        ORDER BY step, CASE WHEN step > 0 AND supersedes = '' THEN 1 ELSE 0 END,
            latest_at DESC, written_partition DESC, written_offset DESC
    ) AS place, min(written_at) OVER (
        PARTITION BY application_id, source_topic, source_partition, source_offset
    ) AS first_at
    FROM stepped
),
current_of_record AS ( -- of several records with one id: the last one of a partition, the latest one of several partitions
    SELECT of_record.*, max(first_at) OVER (
        PARTITION BY application_id, source_topic, source_partition ORDER BY source_offset
    ) AS latest_first_at
    FROM of_record WHERE place = 1
),
numbered AS (
    SELECT current_of_record.*, row_number() OVER (
        PARTITION BY application_id
        ORDER BY latest_first_at DESC, source_topic DESC, source_partition DESC, source_offset DESC
    ) AS record_place
    FROM current_of_record
)
SELECT application_id, decision_id, decision, probability_of_default, bundle, source_topic, source_partition,
    source_offset, supersedes, replay_id, written_partition, written_offset, written_at, reasons
FROM numbered WHERE record_place = 1;
