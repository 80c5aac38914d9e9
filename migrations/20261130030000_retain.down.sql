DROP FUNCTION purge_records(UUID, UUID, INTEGER);
DROP FUNCTION remove_audit_rows(UUID);
DROP TRIGGER audit_logs_append_only ON audit_logs;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
DROP VIEW audit_rows_due;
DROP FUNCTION due_records(UUID, UUID, INTEGER);
DROP INDEX idx_audit_logs_holds;
DROP TABLE audit_purged_leaves;
DROP TABLE retention_rules;
REVOKE ALL ON audit_logs FROM meditrustal_retention;
REVOKE SELECT (id) ON audit_logs FROM meditrustal_retention;
REVOKE EXECUTE ON FUNCTION decision_time() FROM meditrustal_retention;
DO $$
BEGIN
    EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM meditrustal_retention', current_schema());
END
$$;
