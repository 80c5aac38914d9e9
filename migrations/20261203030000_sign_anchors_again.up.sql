-- An anchor whose transaction came to nothing is signed again, with another nonce: a record then has several rows, and one
-- of them counts.
ALTER TABLE anchor_outbox
    ADD COLUMN is_replaced BOOLEAN NOT NULL DEFAULT FALSE,
    DROP CONSTRAINT anchor_outbox_state_check,
    ADD CONSTRAINT anchor_outbox_state_check
        CHECK (state IN ('QUEUED', 'SENT', 'MINED', 'FAILED', 'REPLACED'));

DROP INDEX anchor_outbox_anchor_key;
CREATE UNIQUE INDEX anchor_outbox_anchor_key ON anchor_outbox (record_id) WHERE kind = 'ANCHOR' AND NOT is_replaced;
-- All rows of an anchor: the indexer notes which of them was mined.
CREATE INDEX idx_anchor_outbox_anchors ON anchor_outbox (record_id) WHERE kind = 'ANCHOR';
-- What is to be signed again.
CREATE INDEX idx_anchor_outbox_again ON anchor_outbox (chain_id, next_send_at)
    WHERE kind = 'ANCHOR' AND state = 'FAILED' AND NOT is_replaced;
-- Whose block may be undone: then their nonces are free again.
CREATE INDEX idx_anchor_outbox_replaced ON anchor_outbox (updated_at) WHERE state = 'REPLACED';

GRANT UPDATE (is_replaced) ON anchor_outbox TO meditrustal_api;
-- What superseded a version that is not ours any more on the chain is anchored by itself.
GRANT UPDATE (supersedes) ON record_anchors TO meditrustal_api;
