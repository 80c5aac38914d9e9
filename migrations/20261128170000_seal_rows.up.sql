-- Rows that decide carry a seal (crates/vault/src/seal.rs): whoever writes to the database without the
-- key gives himself no access. A row without a valid seal does not decide. What is there is sealed by
-- `meditrustal seal rows --all`, once, after this.
ALTER TABLE users
    ADD COLUMN has_second_factor BOOLEAN NOT NULL DEFAULT FALSE,
    -- This patient's refusals that were not taken back: one whose row is gone still refuses.
    ADD COLUMN refusals UUID[] NOT NULL DEFAULT '{}',
    -- As many consents as are in force: domain::consents::MAX_CONSENTS_IN_FORCE.
    ADD CONSTRAINT users_refusals_count_check CHECK (cardinality(refusals) <= 100),
    ADD COLUMN seal BYTEA,
    ADD COLUMN seal_key VARCHAR(64);
ALTER TABLE data_processing_consents
    ADD COLUMN seal BYTEA,
    ADD COLUMN seal_key VARCHAR(64);
ALTER TABLE second_factors
    ADD COLUMN seal BYTEA,
    ADD COLUMN seal_key VARCHAR(64);

UPDATE users
SET has_second_factor = EXISTS (
        SELECT FROM second_factors WHERE user_id = users.id AND confirmed_at IS NOT NULL
    ),
    refusals = ARRAY(
        SELECT id
        FROM data_processing_consents
        WHERE user_id = users.id
          AND processing_activities ? 'DENY'
          AND consent_withdrawn_at IS NULL
          AND COALESCE(consent_expires_at, 'infinity') > CURRENT_TIMESTAMP
        ORDER BY id
    )
WHERE NOT is_system;

-- What a rotation of the master keys seals anew.
CREATE INDEX idx_users_seal_key ON users (seal_key, id);
CREATE INDEX idx_data_processing_consents_seal_key ON data_processing_consents (seal_key, id);
CREATE INDEX idx_second_factors_seal_key ON second_factors (seal_key, user_id);

-- A consent is withdrawn once, and its seal may be written anew.
CREATE OR REPLACE FUNCTION refuse_consent_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE'
        OR (NEW.id, NEW.user_id, NEW.purpose, NEW.consent_given_at, NEW.created_at)
            IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.purpose, OLD.consent_given_at, OLD.created_at)
        OR (NEW.consent_expires_at, NEW.data_categories, NEW.processing_activities, NEW.third_parties)
            IS DISTINCT FROM
            (OLD.consent_expires_at, OLD.data_categories, OLD.processing_activities, OLD.third_parties)
        OR (OLD.consent_withdrawn_at IS NOT NULL
            AND NEW.consent_withdrawn_at IS DISTINCT FROM OLD.consent_withdrawn_at)
        OR (NEW.consent_withdrawn_at IS NOT DISTINCT FROM OLD.consent_withdrawn_at
            AND (NEW.seal, NEW.seal_key) IS NOT DISTINCT FROM (OLD.seal, OLD.seal_key))
    THEN
        RAISE EXCEPTION 'a consent can only be withdrawn, and once'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

-- What the trail says of a person's consents: one that is gone, or open again, is found by it.
CREATE INDEX idx_audit_logs_consents ON audit_logs (user_id)
    WHERE action_type IN ('CONSENT_GRANT', 'CONSENT_WITHDRAW');

-- Findings about such rows.
ALTER TABLE integrity_findings
    ADD COLUMN table_name VARCHAR(63),
    ADD COLUMN row_id UUID,
    DROP CONSTRAINT integrity_findings_kind_check,
    ADD CONSTRAINT integrity_findings_kind_check CHECK (kind IN (
        'MISSING_ON_CHAIN', 'UNKNOWN_ON_CHAIN', 'HASH_MISMATCH', 'FOREIGN_REGISTRAR',
        'CONTENT_MISMATCH', 'UNDECRYPTABLE', 'AUDIT_TAMPERED', 'ROW_TAMPERED'
    ));
DROP INDEX integrity_findings_open_key;
CREATE UNIQUE INDEX integrity_findings_open_key
    ON integrity_findings (kind, record_id, record_hash, patient_key_id, table_name, row_id) NULLS NOT DISTINCT
    WHERE resolved_at IS NULL;

-- The deep check goes through them as well.
ALTER TABLE deep_checks
    DROP CONSTRAINT deep_checks_stage_check,
    ADD CONSTRAINT deep_checks_stage_check
        CHECK (stage IN ('KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS')),
    ADD COLUMN rows_checked BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN last_rows BIGINT;

GRANT UPDATE (has_second_factor, refusals, seal, seal_key) ON users TO meditrustal_api;
GRANT UPDATE (seal, seal_key) ON data_processing_consents, second_factors TO meditrustal_api;
-- The rotation checks a seal before it writes another one.
GRANT SELECT (id, email, username, role, is_active, is_system, organization_id, hashed_password, blockchain_address,
    has_second_factor, refusals, seal, seal_key), UPDATE (seal, seal_key) ON users TO meditrustal_keys;
GRANT SELECT, UPDATE (seal, seal_key) ON data_processing_consents TO meditrustal_keys;
GRANT SELECT (confirmed_at, seal, seal_key), UPDATE (seal, seal_key) ON second_factors TO meditrustal_keys;
GRANT SELECT (user_id, code_hash) ON recovery_codes TO meditrustal_keys;
-- Whoever updates a row of consents has its checks evaluated.
GRANT EXECUTE ON FUNCTION is_set(jsonb) TO meditrustal_keys;
