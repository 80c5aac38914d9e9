REVOKE SELECT (version, predecessor_id) ON medical_records FROM meditrustal_indexer;
ALTER TABLE record_anchors
    DROP COLUMN supersedes,
    DROP COLUMN predecessor_hash;
DROP TRIGGER medical_records_superseded_once ON medical_records;
DROP FUNCTION supersede_once();
CREATE INDEX idx_medical_records_predecessor_id ON medical_records (predecessor_id);
DROP INDEX medical_records_predecessor_key;
ALTER TABLE medical_records
    DROP COLUMN withdrawn,
    DROP COLUMN superseded_at;
