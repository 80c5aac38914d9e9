SELECT DISTINCT ON (ended.hash)
    ended.hash AS "hash!",
    ended.status,
    ended.successor,
    event.actor AS "actor!",
    -- A tampered payload may say anything; that it is another one, the event's head tells.
    CASE WHEN event.payload ->> 'reason' ~ '^[0-9]{1,3}$' THEN (event.payload ->> 'reason')::int END AS reason,
    event.tx_hash AS "tx_hash!",
    event.block_number AS "block_number!",
    EXISTS (
        SELECT FROM record_anchors AS later
        WHERE later.record_hash = ended.successor
         AND later.predecessor_hash = ended.hash
         AND later.supersedes
    ) OR EXISTS (
        SELECT FROM record_anchors AS closed
        JOIN record_closings AS closing USING (record_id)
        WHERE closed.record_hash = ended.hash
         AND closing.status = ended.status
         AND closing.reason::text = event.payload ->> 'reason'
         AND (
             closing.state <> 'CONFIRMED'
             OR (closing.tx_hash, closing.closed_by, closing.block_number, closing.block_hash)
                 = (event.tx_hash, event.actor, event.block_number, event.block_hash)
         )
         AND (
             NOT event.actor = ANY($4)
             OR EXISTS (
                 SELECT FROM anchor_outbox AS outbox
                 JOIN anchor_attempts AS attempt ON attempt.outbox_id = outbox.id
                 WHERE outbox.record_id = closing.record_id
                    AND outbox.kind = 'CLOSE'
                    AND attempt.tx_hash = event.tx_hash
             )
         )
    ) AS "is_ours!"
FROM (
    SELECT id, subject_hash AS hash, payload ->> 'closing' AS status, NULL AS successor
    FROM chain_events
    WHERE subject_hash = ANY($3) AND undone_at IS NULL
     AND kind IN ('RECORD_CLOSED', 'ENDING_ANNULLED')
    UNION ALL
    SELECT id, payload ->> 'predecessor', 'SUPERSEDED', subject_hash
    FROM chain_events
    WHERE payload ->> 'predecessor' = ANY($3) AND undone_at IS NULL
     AND kind = 'RECORD_ANCHORED'
    UNION ALL
    SELECT id, payload ->> 'successor', 'REVOKED', NULL
    FROM chain_events
    WHERE payload ->> 'successor' = ANY($3) AND undone_at IS NULL
     AND kind = 'ENDING_ANNULLED'
) AS ended
JOIN chain_events AS event USING (id)
WHERE event.chain_id = $1
  AND event.registry = $2
ORDER BY ended.hash, event.sequence DESC
