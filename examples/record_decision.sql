-- Inserts a decision; inserting it again has no effect.
INSERT INTO decision_records
VALUES (:written_partition, :written_offset, :written_at, :application_id, :decision_id, :decision,
        :probability_of_default, :bundle, :source_topic, :source_partition, :source_offset, :supersedes, :replay_id,
        :reasons)
ON CONFLICT (written_partition, written_offset) DO NOTHING;
