DROP INDEX integrity_findings_open_key;
-- What is about a key alone would be about nothing.
DELETE FROM integrity_findings WHERE patient_key_id IS NOT NULL;
ALTER TABLE integrity_findings DROP COLUMN patient_key_id;
CREATE UNIQUE INDEX integrity_findings_open_key
    ON integrity_findings (kind, record_id, record_hash) NULLS NOT DISTINCT WHERE resolved_at IS NULL;
DROP TABLE deep_checks;
