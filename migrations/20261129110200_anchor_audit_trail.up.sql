-- Checkpoints of the audit tree: signed, sent, and seen in the registry.
CREATE TABLE audit_checkpoints (
    id BIGSERIAL PRIMARY KEY,
    chain_id BIGINT NOT NULL,
    registry VARCHAR(42) NOT NULL,
    epoch BIGINT NOT NULL,
    tree_size BIGINT NOT NULL CHECK (tree_size > 0),
    root VARCHAR(64) NOT NULL CHECK (root ~ '^[0-9a-f]{64}$'),
    -- The text with its signature (c2sp.org/signed-note).
    note TEXT NOT NULL,
    signer VARCHAR(42) NOT NULL,
    nonce BIGINT NOT NULL,
    tx_hash VARCHAR(66) NOT NULL CONSTRAINT audit_checkpoints_tx_hash_key UNIQUE,
    raw_transaction BYTEA NOT NULL,
    state VARCHAR(10) NOT NULL DEFAULT 'SIGNED' CHECK (state IN ('SIGNED', 'ANCHORED', 'FAILED')),
    next_send_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    block_number BIGINT,
    block_hash VARCHAR(66),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT audit_checkpoints_next_send_at_readable
        CHECK (next_send_at > '-infinity' AND next_send_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT audit_checkpoints_created_at_readable
        CHECK (created_at > '-infinity' AND created_at < '262143-01-01 00:00:00Z')
);
CREATE INDEX idx_audit_checkpoints_signed ON audit_checkpoints (chain_id, registry, nonce) WHERE state = 'SIGNED';
CREATE INDEX idx_audit_checkpoints_anchored ON audit_checkpoints (chain_id, registry, tree_size)
    WHERE state = 'ANCHORED';

-- What was signed stays as it is.
CREATE TRIGGER audit_checkpoints_append_only BEFORE DELETE ON audit_checkpoints
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_checkpoints_never_truncated BEFORE TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- When an operator last asked for one.
ALTER TABLE audit_watermark
    ADD COLUMN checkpoint_wanted_at TIMESTAMP WITH TIME ZONE,
    ADD CONSTRAINT audit_watermark_checkpoint_wanted_at_readable
        CHECK (checkpoint_wanted_at > '-infinity' AND checkpoint_wanted_at < '262143-01-01 00:00:00Z');

GRANT SELECT, INSERT, UPDATE (state, next_send_at) ON audit_checkpoints TO meditrustal_api;
GRANT USAGE ON SEQUENCE audit_checkpoints_id_seq TO meditrustal_api;
GRANT UPDATE (checkpoint_wanted_at) ON audit_watermark TO meditrustal_api;
GRANT SELECT, UPDATE (state, epoch, block_number, block_hash, next_send_at) ON audit_checkpoints TO meditrustal_indexer;
