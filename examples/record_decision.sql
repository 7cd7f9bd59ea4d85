-- Enters a decision that was read. Entered again, or after what took its place, it changes nothing.
INSERT INTO decisions
VALUES (:application_id, :decision_id, :decision, :probability_of_default, :bundle,
        :source_offset, :written_offset, :supersedes, :replay_id)
ON CONFLICT (application_id) DO UPDATE SET
    decision_id            = excluded.decision_id,
    decision               = excluded.decision,
    probability_of_default = excluded.probability_of_default,
    bundle                 = excluded.bundle,
    source_offset          = excluded.source_offset,
    written_offset         = excluded.written_offset,
    supersedes             = excluded.supersedes,
    replay_id              = excluded.replay_id
WHERE (excluded.source_offset, excluded.written_offset) > (decisions.source_offset, decisions.written_offset);
