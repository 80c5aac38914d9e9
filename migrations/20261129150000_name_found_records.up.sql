-- The records that a row of a list discloses: one row names them all (docs/decisions/0047).
ALTER TABLE audit_logs
    ADD COLUMN record_ids UUID[],
    -- A list as docs/audit-proofs.md hashes it: of one dimension, counted from 1, with something in it, nothing NULL.
    ADD CONSTRAINT audit_logs_record_ids_check CHECK (record_ids IS NULL OR (
        array_ndims(record_ids) IS NOT DISTINCT FROM 1 AND array_lower(record_ids, 1) = 1
        AND array_position(record_ids, NULL) IS NULL
    )) NOT VALID;

CREATE INDEX idx_audit_logs_record_ids ON audit_logs USING gin (record_ids) WHERE record_ids IS NOT NULL;

-- Layout 2: another name, and the new column at the end. Rows that are there keep layout 1.
CREATE OR REPLACE FUNCTION hash_audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- record_send writes texts as the connection speaks.
    IF current_setting('client_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the audit trail is written in UTF-8' USING ERRCODE = 'character_not_in_repertoire';
    END IF;
    NEW.leaf_layout := 2;
    NEW.leaf_hash := sha256('\x00'::bytea || 'MediTrustAl audit row 2\012'::bytea || record_send(ROW(
        NEW.leaf_salt, NEW.leaf_xid, NEW.id, NEW.event_time, NEW.user_id, NEW.action_type, NEW.resource_type,
        NEW.resource_id, NEW.old_value, NEW.new_value, NEW.ip_address, NEW.user_agent, NEW.request_id, NEW.purpose,
        NEW.consent_reference, NEW.retention_period, NEW.data_classification, NEW.is_cross_border,
        NEW.destination_country, NEW.encryption_status, NEW.created_at, NEW.patient_id, NEW.record_ids
    )));
    RETURN NEW;
END
$$;

-- Whoever writes rows says in one statement whether they name records.
GRANT INSERT (record_ids) ON audit_logs TO meditrustal_api, meditrustal_indexer, meditrustal_keys;
