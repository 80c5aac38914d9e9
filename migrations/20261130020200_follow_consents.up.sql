-- The indexer follows the registry of consents, too: its events are rows of chain_events, its place a row of
-- chain_cursors. It reads of a receipt by what the registry knows it, and never its text or signature.
CREATE INDEX idx_consent_receipts_details_hash ON consent_receipts (details_hash);
CREATE INDEX idx_consent_receipts_confirmed ON consent_receipts (block_number) WHERE chain_state = 'CONFIRMED';
CREATE INDEX idx_consent_receipts_mined ON consent_receipts (block_number)
    WHERE chain_state IN ('CONFIRMED', 'FINALIZED');
CREATE INDEX idx_consent_receipts_unconfirmed ON consent_receipts (details_hash)
    WHERE signed_at IS NOT NULL AND (chain_state IS NULL OR chain_state NOT IN ('CONFIRMED', 'FINALIZED'));

ALTER TABLE integrity_findings DROP CONSTRAINT integrity_findings_kind_check;
ALTER TABLE integrity_findings ADD CONSTRAINT integrity_findings_kind_check CHECK (kind IN (
    'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
    'CONTENT_MISMATCH', 'UNDECRYPTABLE', 'AUDIT_TAMPERED', 'ROW_TAMPERED',
    'ENDED_ON_CHAIN', 'REGISTRY_PAUSED', 'UNKNOWN_CONSENT', 'CONSENT_MISMATCH'
));

GRANT SELECT (id, consent_id, user_id, kind, details_hash, registry_end, wallet, signed_at, chain_state, due_at, block_number),
    UPDATE (chain_state, failure, tx_hash, block_number, block_hash, confirmed_at)
    ON consent_receipts TO meditrustal_indexer;
-- Whether a consent was withdrawn here, and nothing else of it.
GRANT SELECT (id, consent_withdrawn_at) ON data_processing_consents TO meditrustal_indexer;
