-- What the indexer read from the chain, and how far it got. Written by the indexer alone.

-- One row per registry followed.
CREATE TABLE chain_cursors (
    chain_id BIGINT NOT NULL,
    registry VARCHAR(42) NOT NULL,
    -- The last block applied, and its hash.
    block_number BIGINT NOT NULL,
    block_hash VARCHAR(66) NOT NULL,
    -- The registry's gapless sequence and rolling head after that block.
    sequence BIGINT NOT NULL,
    head VARCHAR(52) NOT NULL,
    chain_head BIGINT NOT NULL,
    finalized_block BIGINT NOT NULL,
    -- Taken by each new leader; a write by an older one matches no row.
    fence BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (chain_id, registry)
);

-- Recent blocks, back to finality: the memory a reorganisation is seen by.
CREATE TABLE chain_blocks (
    chain_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    hash VARCHAR(66) NOT NULL,
    parent_hash VARCHAR(66) NOT NULL,
    -- The registry's sequence and rolling head after this block: where a rewind returns to.
    sequence BIGINT NOT NULL,
    head VARCHAR(52) NOT NULL,
    PRIMARY KEY (chain_id, number)
);

-- Every log of the registry ever applied; a reorganised one is marked, never deleted.
CREATE TABLE chain_events (
    id BIGSERIAL PRIMARY KEY,
    chain_id BIGINT NOT NULL,
    registry VARCHAR(42) NOT NULL,
    block_number BIGINT NOT NULL,
    block_hash VARCHAR(66) NOT NULL,
    tx_hash VARCHAR(66) NOT NULL,
    log_index BIGINT NOT NULL,
    kind VARCHAR(30) NOT NULL,
    -- The record hash, batch root or checkpoint root: 64 hex digits, as medical_records.data_hash.
    subject_hash VARCHAR(64),
    actor VARCHAR(42) NOT NULL,
    sequence BIGINT NOT NULL,
    head VARCHAR(52) NOT NULL,
    payload JSONB NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    undone_at TIMESTAMP WITH TIME ZONE,
    UNIQUE (chain_id, block_hash, log_index)
);

CREATE INDEX idx_chain_events_block ON chain_events (chain_id, registry, block_number) WHERE undone_at IS NULL;
CREATE UNIQUE INDEX chain_events_sequence_key ON chain_events (chain_id, registry, sequence) WHERE undone_at IS NULL;
CREATE INDEX idx_chain_events_subject ON chain_events (subject_hash) WHERE undone_at IS NULL;
