-- A record that somebody ended on the chain and we did not, and a registry that somebody paused, are findings.
ALTER TABLE integrity_findings DROP CONSTRAINT integrity_findings_kind_check;
ALTER TABLE integrity_findings ADD CONSTRAINT integrity_findings_kind_check CHECK (kind IN (
    'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
    'CONTENT_MISMATCH', 'UNDECRYPTABLE', 'AUDIT_TAMPERED', 'ROW_TAMPERED',
    'ENDED_ON_CHAIN', 'REGISTRY_PAUSED'
));

-- The last switch of the pause; the annulment that revoked a record's successor.
CREATE INDEX idx_chain_events_pause ON chain_events (chain_id, registry, sequence)
    WHERE undone_at IS NULL AND kind = 'PAUSED_SET';
CREATE INDEX idx_chain_events_successor ON chain_events ((payload ->> 'successor'))
    WHERE undone_at IS NULL AND payload ->> 'successor' IS NOT NULL;
