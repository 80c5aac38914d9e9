REVOKE ALL ON consent_receipts, data_processing_consents FROM meditrustal_indexer;

DELETE FROM integrity_feed WHERE finding_id IN (
    SELECT id FROM integrity_findings WHERE kind IN ('UNKNOWN_CONSENT', 'CONSENT_MISMATCH')
);
DELETE FROM integrity_findings WHERE kind IN ('UNKNOWN_CONSENT', 'CONSENT_MISMATCH');
ALTER TABLE integrity_findings DROP CONSTRAINT integrity_findings_kind_check;
ALTER TABLE integrity_findings ADD CONSTRAINT integrity_findings_kind_check CHECK (kind IN (
    'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
    'CONTENT_MISMATCH', 'UNDECRYPTABLE', 'AUDIT_TAMPERED', 'ROW_TAMPERED',
    'ENDED_ON_CHAIN', 'REGISTRY_PAUSED'
));

DROP INDEX idx_consent_receipts_unconfirmed;
DROP INDEX idx_consent_receipts_mined;
DROP INDEX idx_consent_receipts_confirmed;
DROP INDEX idx_consent_receipts_details_hash;
