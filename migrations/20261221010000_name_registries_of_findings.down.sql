ALTER TABLE integrity_findings
    DROP COLUMN chain_id,
    DROP COLUMN registry;
