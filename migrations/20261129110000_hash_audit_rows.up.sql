-- What an audit row says, as one hash: its leaf in the tree whose roots are anchored (docs/audit-proofs.md).
ALTER TABLE audit_logs
    -- Keeps whoever sees the hash from guessing the row.
    ADD COLUMN leaf_salt UUID NOT NULL DEFAULT gen_random_uuid(),
    -- By which layout of bytes it was hashed.
    ADD COLUMN leaf_layout SMALLINT NOT NULL DEFAULT 1,
    -- The transaction that wrote it: rows get their places when all transactions before theirs have ended.
    ADD COLUMN leaf_xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
    ADD COLUMN leaf_hash BYTEA NOT NULL DEFAULT '\x'::bytea;

-- Layout 1: a name, and the columns as record_send writes them. It follows audit_logs_time, by its name, and so hashes
-- the times that are stored. Whoever adds a column makes the next layout (CONTRIBUTING.md).
CREATE FUNCTION hash_audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- record_send writes texts as the connection speaks.
    IF current_setting('client_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the audit trail is written in UTF-8' USING ERRCODE = 'character_not_in_repertoire';
    END IF;
    NEW.leaf_layout := 1;
    NEW.leaf_hash := sha256('\x00'::bytea || 'MediTrustAl audit row 1\012'::bytea || record_send(ROW(
        NEW.leaf_salt, NEW.leaf_xid, NEW.id, NEW.event_time, NEW.user_id, NEW.action_type, NEW.resource_type,
        NEW.resource_id, NEW.old_value, NEW.new_value, NEW.ip_address, NEW.user_agent, NEW.request_id, NEW.purpose,
        NEW.consent_reference, NEW.retention_period, NEW.data_classification, NEW.is_cross_border,
        NEW.destination_country, NEW.encryption_status, NEW.created_at, NEW.patient_id
    )));
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_logs_tree BEFORE INSERT ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION hash_audit_row();

-- The rows that are there: hashed as they are now, by one pass that writes each once and leaves no dead row behind.
ALTER TABLE audit_logs
    ALTER COLUMN leaf_hash TYPE BYTEA USING sha256('\x00'::bytea || 'MediTrustAl audit row 1\012'::bytea || record_send(ROW(
        leaf_salt, leaf_xid, id, event_time, user_id, action_type, resource_type,
        resource_id, old_value, new_value, ip_address, user_agent, request_id, purpose,
        consent_reference, retention_period, data_classification, is_cross_border,
        destination_country, encryption_status, created_at, patient_id
    )));
ALTER TABLE audit_logs ADD CONSTRAINT audit_logs_leaf_hash_check CHECK (octet_length(leaf_hash) = 32);
