-- no-transaction
-- PostgreSQL plans the statement by which the version before opens a finding only where a unique index has these columns. Each finding
-- has NULL in some of them, and NULLs are distinct here: this index refuses none.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS integrity_findings_statement_key
    ON integrity_findings (kind, record_id, record_hash, patient_key_id, table_name, row_id)
    WHERE resolved_at IS NULL;
