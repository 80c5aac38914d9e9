-- A record that is not on the chain although its transaction was signed.
ALTER TABLE integrity_findings DROP CONSTRAINT integrity_findings_kind_check;
ALTER TABLE integrity_findings ADD CONSTRAINT integrity_findings_kind_check CHECK (kind IN (
    'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
    'CONTENT_MISMATCH', 'UNDECRYPTABLE', 'AUDIT_TAMPERED', 'ROW_TAMPERED',
    'ENDED_ON_CHAIN', 'REGISTRY_PAUSED', 'UNKNOWN_CONSENT', 'CONSENT_MISMATCH', 'ANCHOR_STUCK'
));
CREATE INDEX idx_integrity_findings_stuck ON integrity_findings (record_id)
    WHERE kind = 'ANCHOR_STUCK' AND resolved_at IS NULL;
