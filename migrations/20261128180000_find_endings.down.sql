DROP INDEX idx_chain_events_successor;
DROP INDEX idx_chain_events_pause;
-- The log that subscribers follow names them, and nothing knows these kinds any more.
DELETE FROM integrity_feed WHERE finding_id IN (
    SELECT id FROM integrity_findings WHERE kind IN ('ENDED_ON_CHAIN', 'REGISTRY_PAUSED')
);
DELETE FROM integrity_findings WHERE kind IN ('ENDED_ON_CHAIN', 'REGISTRY_PAUSED');
ALTER TABLE integrity_findings DROP CONSTRAINT integrity_findings_kind_check;
ALTER TABLE integrity_findings ADD CONSTRAINT integrity_findings_kind_check CHECK (kind IN (
    'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
    'CONTENT_MISMATCH', 'UNDECRYPTABLE', 'AUDIT_TAMPERED', 'ROW_TAMPERED'
));
