-- Reads the whole table, but lets rows be written meanwhile.
ALTER TABLE audit_logs VALIDATE CONSTRAINT audit_logs_record_ids_check;

-- What auditLogs is filtered by: the rows that a consent decided, and those of a request. Request ids are UUIDs of version 7,
-- and so in the order of the rows: a summary of each part of the table is enough, and costs a new row nothing.
CREATE INDEX idx_audit_logs_consent_page ON audit_logs (consent_reference, id DESC) WHERE consent_reference IS NOT NULL;
CREATE INDEX idx_audit_logs_request ON audit_logs USING brin (request_id uuid_minmax_multi_ops)
    WITH (pages_per_range = 32, autosummarize = on);
-- A patient's own export, in its order.
CREATE INDEX idx_audit_logs_patient_time ON audit_logs (patient_id, event_time, id) WHERE patient_id IS NOT NULL;
