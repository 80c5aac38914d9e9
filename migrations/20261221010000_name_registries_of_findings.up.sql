-- Of which registry a finding is, where it is about what one says: two chains in one database have their own findings about one record.
-- The programs fill both, also in open findings from before.
ALTER TABLE integrity_findings
    ADD COLUMN chain_id BIGINT,
    ADD COLUMN registry VARCHAR(42);
