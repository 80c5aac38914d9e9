-- no-transaction
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS integrity_findings_registry_key
    ON integrity_findings (kind, record_id, record_hash, patient_key_id, table_name, row_id, chain_id, registry)
    NULLS NOT DISTINCT WHERE resolved_at IS NULL;
