REVOKE EXECUTE ON FUNCTION is_set(jsonb) FROM meditrustal_keys;
REVOKE SELECT (user_id, code_hash) ON recovery_codes FROM meditrustal_keys;
REVOKE SELECT (confirmed_at, seal, seal_key), UPDATE (seal, seal_key) ON second_factors FROM meditrustal_keys;
REVOKE SELECT, UPDATE (seal, seal_key) ON data_processing_consents FROM meditrustal_keys;
REVOKE SELECT (id, email, username, role, is_active, is_system, organization_id, hashed_password, blockchain_address,
    has_second_factor, refusals, seal, seal_key), UPDATE (seal, seal_key) ON users FROM meditrustal_keys;

ALTER TABLE deep_checks DROP CONSTRAINT deep_checks_stage_check;
UPDATE deep_checks SET stage = 'KEYS', position = '00000000-0000-0000-0000-000000000000'
WHERE stage NOT IN ('KEYS', 'RECORDS');
ALTER TABLE deep_checks
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN ('KEYS', 'RECORDS')),
    DROP COLUMN rows_checked,
    DROP COLUMN last_rows;

DELETE FROM integrity_feed WHERE finding_id IN (SELECT id FROM integrity_findings WHERE kind = 'ROW_TAMPERED');
DELETE FROM integrity_findings WHERE kind = 'ROW_TAMPERED';
DROP INDEX integrity_findings_open_key;
CREATE UNIQUE INDEX integrity_findings_open_key
    ON integrity_findings (kind, record_id, record_hash, patient_key_id) NULLS NOT DISTINCT
    WHERE resolved_at IS NULL;
ALTER TABLE integrity_findings
    DROP COLUMN table_name,
    DROP COLUMN row_id,
    DROP CONSTRAINT integrity_findings_kind_check,
    ADD CONSTRAINT integrity_findings_kind_check CHECK (kind IN (
        'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
        'CONTENT_MISMATCH', 'UNDECRYPTABLE', 'AUDIT_TAMPERED'
    ));

CREATE OR REPLACE FUNCTION refuse_consent_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE'
        OR OLD.consent_withdrawn_at IS NOT NULL
        OR NEW.consent_withdrawn_at IS NULL
        OR (NEW.id, NEW.user_id, NEW.purpose, NEW.consent_given_at, NEW.created_at)
            IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.purpose, OLD.consent_given_at, OLD.created_at)
        OR (NEW.consent_expires_at, NEW.data_categories, NEW.processing_activities, NEW.third_parties)
            IS DISTINCT FROM
            (OLD.consent_expires_at, OLD.data_categories, OLD.processing_activities, OLD.third_parties)
    THEN
        RAISE EXCEPTION 'a consent can only be withdrawn, and once'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

DROP INDEX idx_audit_logs_consents;
ALTER TABLE second_factors DROP COLUMN seal, DROP COLUMN seal_key;
ALTER TABLE data_processing_consents DROP COLUMN seal, DROP COLUMN seal_key;
ALTER TABLE users
    DROP COLUMN has_second_factor, DROP COLUMN refusals, DROP COLUMN seal, DROP COLUMN seal_key;
