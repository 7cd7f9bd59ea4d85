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
    supersedes     TEXT NOT NULL, -- the review_id of the review that it replaces; default: ''
    needs_second   BOOLEAN NOT NULL -- whether it counts only if another reviewer agrees; default: false
);
CREATE INDEX IF NOT EXISTS review_records_by_decision ON review_records (application_id, decision_id);
DROP VIEW IF EXISTS decisions_of_record;
DROP VIEW IF EXISTS reviews;
DROP VIEW IF EXISTS review_votes;
CREATE VIEW review_votes AS -- of one reviewer's reviews that need a second one and name the same review, the first
SELECT review.* FROM review_records AS review
WHERE NOT review.needs_second OR NOT EXISTS (
    SELECT * FROM review_records AS earlier
    WHERE (earlier.application_id, earlier.decision_id, earlier.supersedes, earlier.reviewer)
        = (review.application_id, review.decision_id, review.supersedes, review.reviewer)
    AND earlier.needs_second AND earlier.written_offset < review.written_offset
);
CREATE VIEW reviews AS
WITH RECURSIVE counting AS ( -- none; then the first one on the decision that can count; then the first one that names it
    SELECT DISTINCT application_id, decision_id, CAST('' AS TEXT) AS review_id, CAST(-1 AS BIGINT) AS written_offset
    FROM review_records
    UNION ALL
    SELECT vote.application_id, vote.decision_id, vote.review_id, vote.written_offset
    FROM counting JOIN review_votes AS vote ON vote.written_offset = (
        SELECT min(one.written_offset) FROM review_votes AS one
        WHERE (one.application_id, one.decision_id, one.supersedes)
            = (counting.application_id, counting.decision_id, counting.review_id)
        AND one.written_offset > counting.written_offset
        AND (NOT one.needs_second OR EXISTS ( -- an earlier one by another reviewer, with the same label
            SELECT * FROM review_votes AS other
            WHERE (other.application_id, other.decision_id, other.supersedes, other.label)
                = (one.application_id, one.decision_id, one.supersedes, one.label)
            AND other.reviewer <> one.reviewer
            AND other.written_offset > counting.written_offset AND other.written_offset < one.written_offset
        ))
    )
)
SELECT review.* FROM counting JOIN review_records AS review ON review.written_offset = counting.written_offset
WHERE NOT EXISTS ( -- the last one that counted
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
