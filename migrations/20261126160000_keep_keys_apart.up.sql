-- Patients' keys and records are in one pair of hands only where they must be, the api's: who re-wraps
-- keys reads no record, and who copies records reads no key. Keys have a backup of their own.
GRANT USAGE ON SCHEMA public TO meditrustal_keys, meditrustal_backup;

-- Re-wraps keys. Which key, whose and since when is bound into the wrapping and not to be changed.
GRANT SELECT, UPDATE (wrapped_key, master_key_id) ON patient_keys TO meditrustal_keys;
GRANT INSERT (user_id, action_type, resource_type, resource_id, old_value, new_value, ip_address,
    user_agent, request_id, purpose, consent_reference, retention_period, data_classification,
    is_cross_border, destination_country, encryption_status, patient_id)
    ON audit_logs TO meditrustal_keys;
GRANT USAGE ON SEQUENCE audit_logs_id_seq TO meditrustal_keys;
DO $$
BEGIN
    IF to_regclass('_sqlx_migrations') IS NOT NULL THEN
        GRANT SELECT ON _sqlx_migrations TO meditrustal_keys;
    END IF;
END
$$;

-- Copies everything else, also what later migrations make.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO meditrustal_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO meditrustal_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO meditrustal_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO meditrustal_backup;
REVOKE SELECT ON patient_keys FROM meditrustal_backup;
