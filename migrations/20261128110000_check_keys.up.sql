-- By what keys are recognised: a value derived from each, under its id. Another key under a known id is
-- refused before it is used. Written once, by whoever holds the key first.
CREATE TABLE key_checks (
    kind VARCHAR(10) NOT NULL CHECK (kind IN ('MASTER', 'INDEX')),
    key_id VARCHAR(64) NOT NULL,
    check_value BYTEA NOT NULL CHECK (octet_length(check_value) = 32),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (kind, key_id)
);

GRANT SELECT, INSERT (kind, key_id, check_value) ON key_checks TO meditrustal_api, meditrustal_keys;

-- Which version a signed transaction, or the chain, names as the one before: where the successor's row is
-- gone, they still say that there was one.
CREATE INDEX idx_record_anchors_predecessor_hash ON record_anchors (predecessor_hash)
    WHERE predecessor_hash IS NOT NULL;
CREATE INDEX idx_chain_events_predecessor ON chain_events ((payload ->> 'predecessor'))
    WHERE undone_at IS NULL AND payload ->> 'predecessor' IS NOT NULL;
