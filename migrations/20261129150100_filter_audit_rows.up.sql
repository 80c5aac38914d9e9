-- What auditLogs is filtered by: the rows that a consent decided, and those of a request. Request ids are UUIDs of version 7,
-- and so in the order of the rows: a summary of each part of the table is enough, and costs a new row nothing.
CREATE INDEX idx_audit_logs_consent_page ON audit_logs (consent_reference, id DESC) WHERE consent_reference IS NOT NULL;
CREATE INDEX idx_audit_logs_request ON audit_logs USING brin (request_id uuid_minmax_multi_ops)
    WITH (pages_per_range = 32, autosummarize = on);
