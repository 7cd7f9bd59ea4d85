-- Inserts a review; inserting it again has no effect.
INSERT INTO review_records
VALUES (:written_offset, :review_id, :application_id, :decision_id, :label, :reason, :comment, :reviewer, :reviewed_at,
        :supersedes, :needs_second)
ON CONFLICT (written_offset) DO NOTHING;
