-- What waits with a nonce of its own has to be mined first: without it no later transaction ever is.
DO $$
BEGIN
    IF EXISTS (SELECT FROM anchor_outbox WHERE kind = 'CLOSE' AND state IN ('QUEUED', 'SENT')) THEN
        RAISE EXCEPTION 'closings wait to be mined: let the api send them first';
    END IF;
END
$$;

-- The program before knows no such kinds.
DELETE FROM integrity_feed WHERE kind IN ('CLOSING_CONFIRMED', 'CLOSING_REORGED');
ALTER TABLE integrity_feed DROP CONSTRAINT integrity_feed_kind_check;
ALTER TABLE integrity_feed ADD CONSTRAINT integrity_feed_kind_check CHECK (kind IN (
    'ANCHOR_PENDING', 'ANCHOR_SUBMITTED', 'ANCHOR_CONFIRMED', 'ANCHOR_FINALIZED', 'ANCHOR_REORGED',
    'ANCHOR_REPLACED', 'ANCHOR_FAILED', 'FINDING_OPENED', 'FINDING_RESOLVED'
));

DROP TABLE record_closings;
-- It knows one transaction for each record.
DELETE FROM anchor_attempts WHERE outbox_id IN (SELECT id FROM anchor_outbox WHERE kind = 'CLOSE');
DELETE FROM anchor_outbox WHERE kind = 'CLOSE';
DROP INDEX idx_anchor_outbox_failed;
DROP INDEX idx_anchor_outbox_closings;
DROP INDEX anchor_outbox_anchor_key;
ALTER TABLE anchor_outbox ADD CONSTRAINT anchor_outbox_record_id_key UNIQUE (record_id);
ALTER TABLE anchor_outbox DROP COLUMN kind;
