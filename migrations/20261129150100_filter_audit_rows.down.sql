DROP INDEX idx_audit_logs_patient_time;
DROP INDEX idx_audit_logs_request;
DROP INDEX idx_audit_logs_consent_page;
