-- A table of all reviews, a view of the reviews that count, and one of the decisions of record; after decisions.sql.
CREATE TABLE IF NOT EXISTS review_records (
    written_offset BIGINT NOT NULL PRIMARY KEY, -- the topic has one partition, so this is the order of the reviews
    review_id      TEXT NOT NULL,
    application_id TEXT NOT NULL,
    decision_id    TEXT NOT NULL,
    label          TEXT NOT NULL,
    reason         TEXT NOT NULL,
    comment        TEXT NOT NULL, -- default: ''
    reviewer       TEXT NOT NULL,
    reviewed_at    TEXT NOT NULL, -- ISO 8601
    supersedes     TEXT NOT NULL  -- the review_id of the review that it replaces; default: ''
);
CREATE INDEX IF NOT EXISTS review_records_by_decision ON review_records (application_id, decision_id);
DROP VIEW IF EXISTS decisions_of_record;
DROP VIEW IF EXISTS reviews;
CREATE VIEW reviews AS
WITH RECURSIVE counting AS ( -- the first review of a decision, and then each one that names the one that counts
    SELECT review.* FROM review_records AS review
    WHERE review.supersedes = '' AND NOT EXISTS (
        SELECT * FROM review_records AS earlier
        WHERE (earlier.application_id, earlier.decision_id) = (review.application_id, review.decision_id)
        AND earlier.supersedes = '' AND earlier.written_offset < review.written_offset
    )
    UNION ALL
    SELECT review.* FROM counting JOIN review_records AS review
        ON (review.application_id, review.decision_id, review.supersedes)
            = (counting.application_id, counting.decision_id, counting.review_id)
        AND review.written_offset > counting.written_offset
    WHERE NOT EXISTS (
        SELECT * FROM review_records AS earlier
        WHERE (earlier.application_id, earlier.decision_id, earlier.supersedes)
            = (counting.application_id, counting.decision_id, counting.review_id)
        AND earlier.written_offset > counting.written_offset AND earlier.written_offset < review.written_offset
    )
)
SELECT counting.* FROM counting WHERE NOT EXISTS ( -- the last one that counted
    SELECT * FROM counting AS later
    WHERE (later.application_id, later.decision_id) = (counting.application_id, counting.decision_id)
    AND later.written_offset > counting.written_offset
);
CREATE VIEW decisions_of_record AS
SELECT decisions.application_id, coalesce(reviews.label, decisions.decision) AS decision, decisions.decision_id,
    decisions.probability_of_default, decisions.bundle, decisions.reasons, coalesce(reviews.review_id, '') AS review_id,
    coalesce(reviews.reviewer, '') AS reviewer, coalesce(reviews.reason, '') AS review_reason
FROM decisions LEFT JOIN reviews
    ON (reviews.application_id, reviews.decision_id) = (decisions.application_id, decisions.decision_id)
    AND decisions.decision = 'MAYBE';
