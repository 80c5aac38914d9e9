DROP TABLE anchor_attempts;
DROP TABLE anchor_outbox;
DROP TABLE record_anchors;
DROP TABLE signers;
