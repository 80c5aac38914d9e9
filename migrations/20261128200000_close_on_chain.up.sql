-- A record whose life ends here is closed on the chain, with the reason.

-- What a nonce is for: a record has one anchor, and as many tries to close it as it takes.
ALTER TABLE anchor_outbox
    ADD COLUMN kind VARCHAR(10) NOT NULL DEFAULT 'ANCHOR' CHECK (kind IN ('ANCHOR', 'CLOSE'));
CREATE UNIQUE INDEX anchor_outbox_anchor_key ON anchor_outbox (record_id) WHERE kind = 'ANCHOR';
CREATE INDEX idx_anchor_outbox_closings ON anchor_outbox (record_id) WHERE kind = 'CLOSE';
ALTER TABLE anchor_outbox DROP CONSTRAINT anchor_outbox_record_id_key;

-- What was mined without effect: when that block is undone, its nonce is free again.
CREATE INDEX idx_anchor_outbox_failed ON anchor_outbox (updated_at) WHERE state = 'FAILED';

-- Written in the transaction that ends the record; signed when the registry would take it.
CREATE TABLE record_closings (
    record_id UUID PRIMARY KEY REFERENCES record_anchors(record_id),
    status VARCHAR(10) NOT NULL CHECK (status IN ('REVOKED', 'ERASED')),
    -- The code that the registry holds; 254 is the contract's own.
    reason SMALLINT NOT NULL CHECK (reason BETWEEN 1 AND 255 AND reason <> 254),
    state VARCHAR(20) NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'SUBMITTED', 'CONFIRMED')),
    -- When it is looked at again while it is PENDING.
    due_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    tx_hash VARCHAR(66),
    closed_by VARCHAR(42),
    block_number BIGINT,
    block_hash VARCHAR(66),
    confirmed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT record_closings_due_at_bounded_check
        CHECK (due_at > '-infinity' AND due_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT record_closings_confirmed_at_bounded_check
        CHECK (confirmed_at > '-infinity' AND confirmed_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT record_closings_created_at_bounded_check
        CHECK (created_at > '-infinity' AND created_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT record_closings_updated_at_bounded_check
        CHECK (updated_at > '-infinity' AND updated_at < '262143-01-01 00:00:00Z')
);

CREATE INDEX idx_record_closings_pending ON record_closings (due_at, record_id) WHERE state = 'PENDING';
CREATE INDEX idx_record_closings_confirmed ON record_closings (block_number) WHERE state = 'CONFIRMED';
CREATE TRIGGER record_closings_touch_updated_at BEFORE UPDATE ON record_closings
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

ALTER TABLE integrity_feed DROP CONSTRAINT integrity_feed_kind_check;
ALTER TABLE integrity_feed ADD CONSTRAINT integrity_feed_kind_check CHECK (kind IN (
    'ANCHOR_PENDING', 'ANCHOR_SUBMITTED', 'ANCHOR_CONFIRMED', 'ANCHOR_FINALIZED', 'ANCHOR_REORGED',
    'ANCHOR_REPLACED', 'ANCHOR_FAILED', 'CLOSING_CONFIRMED', 'CLOSING_REORGED',
    'FINDING_OPENED', 'FINDING_RESOLVED'
));

GRANT SELECT, INSERT, UPDATE (state, due_at, tx_hash) ON record_closings TO meditrustal_api;
GRANT SELECT, UPDATE (state, due_at, tx_hash, closed_by, block_number, block_hash, confirmed_at)
    ON record_closings TO meditrustal_indexer;
