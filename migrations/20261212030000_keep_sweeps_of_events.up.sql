-- Where the comparison of each event with the one before it stands, of either registry, so that a restart goes on there. Before all
-- events where nothing was kept yet.
ALTER TABLE indexer_sweeps
    ADD COLUMN after_sequence BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN after_consent_sequence BIGINT NOT NULL DEFAULT 0;
