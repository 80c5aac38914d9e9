ALTER TABLE indexer_sweeps
    DROP COLUMN after_sequence,
    DROP COLUMN after_consent_sequence;
