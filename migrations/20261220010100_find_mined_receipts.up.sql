-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_consent_receipts_chain_mined ON consent_receipts (chain_id, block_number)
    WHERE chain_state IN ('CONFIRMED', 'FINALIZED');
