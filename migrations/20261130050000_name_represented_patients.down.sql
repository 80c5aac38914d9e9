-- Whom rows name cannot be given back.
DO $$
BEGIN
    IF EXISTS (SELECT FROM audit_logs WHERE on_behalf_of IS NOT NULL) THEN
        RAISE EXCEPTION 'rows of the audit trail name patients who were represented: without the column nobody can prove them';
    END IF;
END
$$;

-- Other rows of layout 3 stay, and nobody can hash them any more: audit verify names them until this is applied again.
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

ALTER TABLE audit_logs DROP COLUMN on_behalf_of;
