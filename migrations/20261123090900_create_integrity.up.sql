-- What is wrong, and the durable log that subscribers follow.

CREATE TABLE integrity_findings (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    kind VARCHAR(30) NOT NULL CHECK (kind IN (
        'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
        'CONTENT_MISMATCH', 'UNDECRYPTABLE', 'AUDIT_TAMPERED'
    )),
    -- What it is about: a record where one is known, else the hash on the chain.
    record_id UUID,
    record_hash VARCHAR(64),
    details JSONB NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    resolved_at TIMESTAMP WITH TIME ZONE
);

-- The same trouble is one finding until it is resolved.
CREATE UNIQUE INDEX integrity_findings_open_key
    ON integrity_findings (kind, record_id, record_hash) NULLS NOT DISTINCT WHERE resolved_at IS NULL;
CREATE INDEX idx_integrity_findings_record_id ON integrity_findings (record_id, opened_at DESC);

-- Append-only. Writers hold advisory lock 0x666565640001 until they commit, so positions are in
-- commit order and a reader that remembers the last one it saw never misses one.
CREATE TABLE integrity_feed (
    position BIGSERIAL PRIMARY KEY,
    kind VARCHAR(30) NOT NULL CHECK (kind IN (
        'ANCHOR_PENDING', 'ANCHOR_SUBMITTED', 'ANCHOR_CONFIRMED', 'ANCHOR_FINALIZED', 'ANCHOR_REORGED',
        'ANCHOR_REPLACED', 'ANCHOR_FAILED', 'FINDING_OPENED', 'FINDING_RESOLVED'
    )),
    at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    record_id UUID,
    patient_id UUID,
    record_type VARCHAR(50),
    record_hash VARCHAR(64),
    tx_hash VARCHAR(66),
    block_number BIGINT,
    block_hash VARCHAR(66),
    log_index BIGINT,
    sequence BIGINT,
    state VARCHAR(20),
    finding_id UUID REFERENCES integrity_findings(id)
);

CREATE INDEX idx_integrity_feed_record_id ON integrity_feed (record_id, position);
