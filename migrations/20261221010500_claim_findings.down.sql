REVOKE UPDATE (chain_id, registry) ON integrity_findings FROM meditrustal_indexer;
-- The version before has one open finding of a kind about a record, whatever the registry: the oldest stays open.
UPDATE integrity_findings AS finding
SET resolved_at = CURRENT_TIMESTAMP
FROM (
    SELECT id, row_number() OVER (
        PARTITION BY kind, record_id, record_hash, patient_key_id, table_name, row_id
        ORDER BY opened_at, id
    ) AS nth
    FROM integrity_findings
    WHERE resolved_at IS NULL
) AS open
WHERE open.id = finding.id
  AND open.nth > 1;
