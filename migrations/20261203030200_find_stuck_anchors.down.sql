DELETE FROM integrity_feed WHERE finding_id IN (
    SELECT id FROM integrity_findings WHERE kind = 'ANCHOR_STUCK'
);
DELETE FROM integrity_findings WHERE kind = 'ANCHOR_STUCK';
DROP INDEX idx_integrity_findings_stuck;
ALTER TABLE integrity_findings DROP CONSTRAINT integrity_findings_kind_check;
ALTER TABLE integrity_findings ADD CONSTRAINT integrity_findings_kind_check CHECK (kind IN (
    'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
    'CONTENT_MISMATCH', 'UNDECRYPTABLE', 'AUDIT_TAMPERED', 'ROW_TAMPERED',
    'ENDED_ON_CHAIN', 'REGISTRY_PAUSED', 'UNKNOWN_CONSENT', 'CONSENT_MISMATCH'
));
