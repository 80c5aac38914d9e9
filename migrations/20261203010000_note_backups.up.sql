-- That a backup was made stands in the audit trail. Who makes backups reads everything but keys and writes nothing: so this writes for
-- them the one row that they may add, which is of this action, by the scheduler, about a backup, and about nobody's data.
CREATE FUNCTION note_backup(backup UUID, details JSONB) RETURNS VOID
LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO audit_logs (
        user_id, action_type, resource_type, resource_id, new_value, ip_address, request_id, purpose, retention_period,
        data_classification, encryption_status
    )
    VALUES (
        '00000000-0000-7000-8000-000000000004', 'BACKUP_RUN', 'BACKUP', backup, details, '::1', backup, 'HSYSADMIN',
        make_interval(days => 2556), 'SECURITY',
        CASE WHEN details -> 'encrypted' = 'true' THEN 'EXPORTED_ENCRYPTED' ELSE 'EXPORTED_PLAINTEXT' END
    )
$$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION note_backup(UUID, JSONB) SET search_path = %I, pg_temp', current_schema());
END
$$;

REVOKE EXECUTE ON FUNCTION note_backup(UUID, JSONB) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_backup(UUID, JSONB) TO meditrustal_backup, meditrustal_keys;
