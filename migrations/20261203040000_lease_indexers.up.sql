-- Which indexer leads each registry, and since when it has said so last: by the database's clock. A leader renews its lease each
-- second; one that does not for four seconds is replaced, and one whose connection has ended, at once
-- (docs/decisions/0069-what-the-indexer-believes.md). Beside the cursor and not in its row, so that no renewal waits for a
-- transaction that moves the cursor.
CREATE TABLE indexer_leases (
    chain_id BIGINT NOT NULL,
    registry VARCHAR(42) NOT NULL,
    -- The machine, the process, and what tells it from an earlier one.
    holder VARCHAR(200) NOT NULL,
    -- The connection by which it was taken, as pg_stat_activity has it.
    backend_pid INTEGER NOT NULL,
    backend_started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
    renewed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (chain_id, registry),
    CONSTRAINT indexer_leases_backend_started_at_bounded_check
        CHECK (backend_started_at > '-infinity' AND backend_started_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT indexer_leases_taken_at_bounded_check
        CHECK (taken_at > '-infinity' AND taken_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT indexer_leases_renewed_at_bounded_check
        CHECK (renewed_at > '-infinity' AND renewed_at < '262143-01-01 00:00:00Z')
);

GRANT SELECT, INSERT, UPDATE ON indexer_leases TO meditrustal_indexer;
GRANT SELECT ON indexer_leases TO meditrustal_api;
