-- Where the comparison of records and events with one another stands, so that a restart goes on there and each row is compared in
-- its turn.
CREATE TABLE indexer_sweeps (
    chain_id BIGINT NOT NULL,
    registry VARCHAR(42) NOT NULL,
    -- The last record and the last event that were compared; the next round begins before all of them.
    after_record UUID NOT NULL,
    after_event BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (chain_id, registry),
    CONSTRAINT indexer_sweeps_updated_at_bounded_check
        CHECK (updated_at > '-infinity' AND updated_at < '262143-01-01 00:00:00Z')
);

GRANT SELECT, INSERT, UPDATE ON indexer_sweeps TO meditrustal_indexer;
