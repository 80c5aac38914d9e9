-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_chain_events_unpaired ON chain_events (chain_id, registry, sequence)
    WHERE undone_at IS NULL
      AND kind NOT IN ('RECORD_ANCHORED', 'RECORD_CLOSED', 'CONSENT_CHANGED', 'CHECKPOINT_ANCHORED');
