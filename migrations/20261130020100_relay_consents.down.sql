DROP INDEX idx_consent_receipts_pending;

DELETE FROM anchor_attempts
WHERE outbox_id IN (SELECT id FROM anchor_outbox WHERE kind = 'CONSENT');
DELETE FROM anchor_outbox WHERE kind = 'CONSENT';
ALTER TABLE anchor_outbox
    DROP CONSTRAINT anchor_outbox_subject_check,
    DROP COLUMN consent_receipt_id,
    DROP CONSTRAINT anchor_outbox_kind_check,
    ADD CONSTRAINT anchor_outbox_kind_check CHECK (kind IN ('ANCHOR', 'CLOSE')),
    ALTER COLUMN record_id SET NOT NULL;
