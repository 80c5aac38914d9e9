ALTER TABLE indexer_sweeps
    DROP COLUMN after_place,
    DROP COLUMN after_consent_place;
