-- no-transaction
-- The sweep asks for the places of more kinds of events than it named, and of anchors by strangers, whom no index knows: it reads a
-- stretch of the sequence each time, by chain_events_sequence_key.
DROP INDEX CONCURRENTLY IF EXISTS idx_chain_events_unpaired;
