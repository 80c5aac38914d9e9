CREATE OR REPLACE TRIGGER medical_records_touch_updated_at BEFORE UPDATE ON medical_records
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
DROP FUNCTION touch_decided_at();
DROP TRIGGER audit_logs_time ON audit_logs;
DROP FUNCTION time_audit_row();
DROP FUNCTION decision_time();
