-- How a record's hash travels to the chain: what is signed, what was sent, where it landed.

-- One row per signing account: nonces are taken here, in the transaction that writes the outbox.
CREATE TABLE signers (
    chain_id BIGINT NOT NULL,
    address VARCHAR(42) NOT NULL,
    next_nonce BIGINT NOT NULL CHECK (next_nonce >= 0),
    PRIMARY KEY (chain_id, address)
);

-- Where each record stands. Outlives the record on purpose (no foreign key): a deleted row is found.
CREATE TABLE record_anchors (
    record_id UUID PRIMARY KEY,
    patient_id UUID NOT NULL,
    record_type VARCHAR(50) NOT NULL,
    record_hash VARCHAR(64) UNIQUE NOT NULL,
    chain_id BIGINT NOT NULL,
    state VARCHAR(20) NOT NULL DEFAULT 'PENDING' CHECK (state IN (
        'PENDING', 'SUBMITTED', 'CONFIRMED', 'FINALIZED', 'REPLACED', 'REORGED', 'FAILED'
    )),
    tx_hash VARCHAR(66) NOT NULL,
    registrar VARCHAR(42),
    block_number BIGINT,
    block_hash VARCHAR(66),
    log_index BIGINT,
    sequence BIGINT,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    finalized_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- What the indexer finalises as the chain's finalized block moves.
CREATE INDEX idx_record_anchors_confirmed ON record_anchors (chain_id, block_number) WHERE state = 'CONFIRMED';
CREATE TRIGGER record_anchors_touch_updated_at BEFORE UPDATE ON record_anchors
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

-- One row per nonce, sent again and again until it is mined.
CREATE TABLE anchor_outbox (
    id BIGSERIAL PRIMARY KEY,
    record_id UUID UNIQUE NOT NULL REFERENCES record_anchors(record_id),
    chain_id BIGINT NOT NULL,
    signer VARCHAR(42) NOT NULL,
    nonce BIGINT NOT NULL,
    state VARCHAR(20) NOT NULL DEFAULT 'QUEUED' CHECK (state IN ('QUEUED', 'SENT', 'MINED', 'FAILED')),
    sends INTEGER NOT NULL DEFAULT 0,
    next_send_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (chain_id, signer, nonce)
);

-- What the relay sends next, in nonce order.
CREATE INDEX idx_anchor_outbox_waiting ON anchor_outbox (chain_id, signer, nonce)
    WHERE state IN ('QUEUED', 'SENT');
CREATE TRIGGER anchor_outbox_touch_updated_at BEFORE UPDATE ON anchor_outbox
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

-- Every signed transaction of an outbox row: a fee replacement is a new attempt with the same nonce.
CREATE TABLE anchor_attempts (
    tx_hash VARCHAR(66) PRIMARY KEY,
    outbox_id BIGINT NOT NULL REFERENCES anchor_outbox(id),
    attempt INTEGER NOT NULL CHECK (attempt >= 1),
    raw_transaction BYTEA NOT NULL,
    max_fee_per_gas NUMERIC(39) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (outbox_id, attempt)
);
