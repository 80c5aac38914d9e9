-- What patients' wallets have signed goes to the registry of consents by the same account and the same nonces as anchors.
ALTER TABLE anchor_outbox
    ALTER COLUMN record_id DROP NOT NULL,
    ADD COLUMN consent_receipt_id UUID REFERENCES consent_receipts(id),
    DROP CONSTRAINT anchor_outbox_kind_check,
    ADD CONSTRAINT anchor_outbox_kind_check CHECK (kind IN ('ANCHOR', 'CLOSE', 'CONSENT')),
    ADD CONSTRAINT anchor_outbox_subject_check CHECK (
        (record_id IS NULL) = (kind = 'CONSENT') AND (consent_receipt_id IS NOT NULL) = (kind = 'CONSENT')
    );
CREATE INDEX idx_anchor_outbox_consents ON anchor_outbox (consent_receipt_id);

CREATE INDEX idx_consent_receipts_pending ON consent_receipts (due_at, id) WHERE chain_state = 'PENDING';
