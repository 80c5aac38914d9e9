-- The version before opens a finding unless the columns of integrity_findings_statement_key are those of an open one. That index refuses
-- nothing, so a second finding would fail at integrity_findings_registry_key. This writes it instead, or passes over it. Whatever names no
-- registry goes this way, also what this version opens. To be dropped with that index when no version before this one runs any more.
CREATE FUNCTION write_finding_without_registry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO %I.integrity_findings (
             id, kind, record_id, record_hash, patient_key_id, table_name, row_id, chain_id, details, opened_at, resolved_at
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT DO NOTHING',
        TG_TABLE_SCHEMA
    )
    USING NEW.id, NEW.kind, NEW.record_id, NEW.record_hash, NEW.patient_key_id, NEW.table_name, NEW.row_id, NEW.chain_id, NEW.details,
        NEW.opened_at, NEW.resolved_at;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION write_finding_without_registry() FROM PUBLIC;
CREATE TRIGGER integrity_findings_without_registry
    BEFORE INSERT ON integrity_findings
    FOR EACH ROW
    WHEN (NEW.registry IS NULL AND pg_trigger_depth() = 0)
    EXECUTE FUNCTION write_finding_without_registry();
