-- How far the check of every key and every record has come. One row, because there is one walk: whoever
-- holds it checks, and lets go by not renewing.
CREATE TABLE deep_checks (
    id BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (id),
    holder UUID,
    held_until TIMESTAMP WITH TIME ZONE,
    stage VARCHAR(10) NOT NULL DEFAULT 'KEYS' CHECK (stage IN ('KEYS', 'RECORDS')),
    -- The last one checked, in the order of ids.
    position UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    began_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    keys_checked BIGINT NOT NULL DEFAULT 0,
    records_checked BIGINT NOT NULL DEFAULT 0,
    wrong BIGINT NOT NULL DEFAULT 0,
    -- The round before this one.
    last_began_at TIMESTAMP WITH TIME ZONE,
    last_ended_at TIMESTAMP WITH TIME ZONE,
    last_keys BIGINT,
    last_records BIGINT,
    last_wrong BIGINT
);

INSERT INTO deep_checks DEFAULT VALUES;
GRANT SELECT, UPDATE ON deep_checks TO meditrustal_api;

-- A key can be wrong that no record was sealed under yet.
ALTER TABLE integrity_findings ADD COLUMN patient_key_id UUID;
DROP INDEX integrity_findings_open_key;
CREATE UNIQUE INDEX integrity_findings_open_key
    ON integrity_findings (kind, record_id, record_hash, patient_key_id) NULLS NOT DISTINCT
    WHERE resolved_at IS NULL;
