ALTER TABLE integrity_feed DROP CONSTRAINT integrity_feed_record_hash_check;
ALTER TABLE integrity_findings DROP CONSTRAINT integrity_findings_record_hash_check;
ALTER TABLE chain_events DROP CONSTRAINT chain_events_subject_hash_check;
ALTER TABLE record_anchors
    DROP CONSTRAINT record_anchors_predecessor_hash_check,
    DROP CONSTRAINT record_anchors_record_hash_check;
