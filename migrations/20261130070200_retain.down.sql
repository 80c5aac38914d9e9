-- What was removed cannot be given back, and without what names it nobody can tell it from what somebody else took away. Nor is
-- a rule forgotten that the operator set.
DO $$
BEGIN
    IF EXISTS (SELECT FROM audit_purged_leaves) THEN
        RAISE EXCEPTION 'retention removed rows of the audit trail: without audit_purged_leaves nobody can prove that it did';
    END IF;
    IF EXISTS (
        SELECT FROM retention_rules
        WHERE years <> CASE
            WHEN record_type = 'DIAGNOSIS' THEN 15
            WHEN record_type IN ('LAB_RESULT', 'IMAGING', 'VITAL_SIGNS') THEN 10
            ELSE 20
        END
    ) THEN
        RAISE EXCEPTION 'the operator set how long records are kept: without retention_rules that is forgotten';
    END IF;
END
$$;

DROP FUNCTION purge_records(UUID, UUID, INTEGER, UUID[]);
DROP FUNCTION remove_audit_rows(UUID, BIGINT[], BIGINT[]);
DROP TRIGGER audit_logs_append_only ON audit_logs;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
DROP VIEW audit_rows_due;
DROP FUNCTION due_records(UUID, UUID, INTEGER);
DROP INDEX idx_medical_records_due;
DROP INDEX idx_audit_logs_due;
DROP INDEX idx_audit_logs_holds;
DROP TABLE audit_purged_leaves;
DROP TABLE retention_rules;
REVOKE ALL ON audit_logs FROM meditrustal_retention;
REVOKE SELECT (id, action_type, resource_type, resource_id, new_value, leaf_xid) ON audit_logs FROM meditrustal_retention;
REVOKE SELECT ON audit_leaves FROM meditrustal_retention;
REVOKE EXECUTE ON FUNCTION decision_time() FROM meditrustal_retention;
DO $$
BEGIN
    EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM meditrustal_retention', current_schema());
END
$$;
