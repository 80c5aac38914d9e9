-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS idx_consent_receipts_chain_mined;
