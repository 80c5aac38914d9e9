DROP INDEX idx_chain_events_predecessor;
DROP INDEX idx_record_anchors_predecessor_hash;
DROP TABLE key_checks;
