-- A hash is one that the programs can read: what is none would be passed over by whoever meets it.
ALTER TABLE record_anchors
    ADD CONSTRAINT record_anchors_record_hash_check CHECK (record_hash ~ '^[0-9a-f]{64}$'),
    ADD CONSTRAINT record_anchors_predecessor_hash_check CHECK (predecessor_hash ~ '^[0-9a-f]{64}$');
ALTER TABLE chain_events
    ADD CONSTRAINT chain_events_subject_hash_check CHECK (subject_hash ~ '^[0-9a-f]{64}$');
ALTER TABLE integrity_findings
    ADD CONSTRAINT integrity_findings_record_hash_check CHECK (record_hash ~ '^[0-9a-f]{64}$');
ALTER TABLE integrity_feed
    ADD CONSTRAINT integrity_feed_record_hash_check CHECK (record_hash ~ '^[0-9a-f]{64}$');
