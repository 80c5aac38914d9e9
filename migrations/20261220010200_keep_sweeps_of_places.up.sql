-- Where the comparison of the places of events with the chain stands, of either registry, so that a restart goes on there. Before all
-- events where nothing was kept yet.
ALTER TABLE indexer_sweeps
    ADD COLUMN after_place BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN after_consent_place BIGINT NOT NULL DEFAULT 0;
