-- On whose behalf somebody acted: a representative, for a patient. Such a row names both.
ALTER TABLE audit_logs ADD COLUMN on_behalf_of UUID;

-- Layout 3: another name, and the new column at the end. Rows that are there keep their layout.
CREATE OR REPLACE FUNCTION hash_audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- record_send writes texts as the connection speaks.
    IF current_setting('client_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the audit trail is written in UTF-8' USING ERRCODE = 'character_not_in_repertoire';
    END IF;
    NEW.leaf_layout := 3;
    NEW.leaf_hash := sha256('\x00'::bytea || 'MediTrustAl audit row 3\012'::bytea || record_send(ROW(
        NEW.leaf_salt, NEW.leaf_xid, NEW.id, NEW.event_time, NEW.user_id, NEW.action_type, NEW.resource_type,
        NEW.resource_id, NEW.old_value, NEW.new_value, NEW.ip_address, NEW.user_agent, NEW.request_id, NEW.purpose,
        NEW.consent_reference, NEW.retention_period, NEW.data_classification, NEW.is_cross_border,
        NEW.destination_country, NEW.encryption_status, NEW.created_at, NEW.patient_id, NEW.record_ids,
        NEW.on_behalf_of
    )));
    RETURN NEW;
END
$$;

-- Whoever writes rows says in one statement whether somebody acted for a patient.
GRANT INSERT (on_behalf_of) ON audit_logs TO meditrustal_api, meditrustal_indexer, meditrustal_keys;
