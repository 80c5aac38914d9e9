-- no-transaction
-- The sweep asks for the places of more kinds of events than it named, and of anchors by strangers, whom no index knows: it reads a
-- stretch of the sequence each time, by chain_events_sequence_key. Dropped in the same release that made it: nothing was released that
-- reads by it. An indexer of a version in between finds the same, and reads by the sequence until it has found enough.
DROP INDEX CONCURRENTLY IF EXISTS idx_chain_events_unpaired;
