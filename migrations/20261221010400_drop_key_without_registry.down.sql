-- In a transaction: what a migration takes back is tried out in one, and an older one drops this index. Few rows are open.
CREATE UNIQUE INDEX IF NOT EXISTS integrity_findings_open_key
    ON integrity_findings (kind, record_id, record_hash, patient_key_id, table_name, row_id) NULLS NOT DISTINCT
    WHERE resolved_at IS NULL;
