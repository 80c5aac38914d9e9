-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS idx_chain_events_unpaired;
