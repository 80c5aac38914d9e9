ALTER TABLE indexer_sweeps
    DROP COLUMN after_receipt,
    DROP COLUMN newest_record;
