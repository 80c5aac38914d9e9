-- Who did what to whose data, on what ground. Append-only by grant and by trigger.
CREATE TABLE audit_logs (
    id BIGSERIAL PRIMARY KEY,
    event_time TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    user_id UUID NOT NULL REFERENCES users(id),
    action_type VARCHAR(50) NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id UUID NOT NULL,
    old_value JSONB,
    new_value JSONB,
    ip_address INET NOT NULL,
    user_agent TEXT,
    request_id UUID NOT NULL,
    purpose VARCHAR(100) NOT NULL,
    consent_reference UUID,
    retention_period INTERVAL NOT NULL,
    data_classification VARCHAR(50) NOT NULL CHECK (data_classification IN (
        'PUBLIC', 'INTERNAL', 'PERSONAL', 'SENSITIVE_PERSONAL', 'MEDICAL', 'MEDICAL_RESTRICTED', 'SECURITY'
    )),
    is_cross_border BOOLEAN NOT NULL DEFAULT FALSE,
    destination_country VARCHAR(100),
    encryption_status VARCHAR(50) NOT NULL CHECK (encryption_status IN (
        'ENCRYPTED_AT_REST', 'DECRYPTED_FOR_DISCLOSURE', 'EXPORTED_PLAINTEXT', 'EXPORTED_ENCRYPTED',
        'KEY_DESTROYED', 'METADATA_ONLY', 'NOT_APPLICABLE'
    )),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- Whose data was touched: the patient who may read this row in myAccessLog.
    patient_id UUID
);

CREATE INDEX idx_audit_logs_event_time ON audit_logs(event_time);
CREATE INDEX idx_audit_logs_user_id ON audit_logs(user_id);
CREATE INDEX idx_audit_logs_resource ON audit_logs(resource_type, resource_id);
CREATE INDEX idx_audit_logs_purpose ON audit_logs(purpose);

-- Newest first, by who acted and by whose data: the two pages that are read.
CREATE INDEX idx_audit_logs_user_page ON audit_logs (user_id, id DESC);
CREATE INDEX idx_audit_logs_patient_page ON audit_logs (patient_id, id DESC) WHERE patient_id IS NOT NULL;
CREATE INDEX idx_audit_logs_resource_page ON audit_logs (resource_id, id DESC);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_logs_never_truncated BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
