-- Consents that a patient has prepared and that have no grantee yet: whoever redeems the code becomes it. The code
-- itself is nowhere; its keyed hash finds the row. A row that is closed loses its seal, and its id is that of the
-- consent that it became, so that it becomes no second one.
CREATE TABLE access_codes (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users(id),
    code_hash BYTEA NOT NULL,
    purpose VARCHAR(255) NOT NULL,
    data_categories JSONB NOT NULL,
    processing_activities JSONB NOT NULL,
    consent_expires_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    closed_at TIMESTAMPTZ,
    seal BYTEA,
    seal_key VARCHAR(64),
    CONSTRAINT access_codes_hash_check CHECK (octet_length(code_hash) = 32),
    CONSTRAINT access_codes_categories_check
        CHECK (jsonb_array_length(data_categories) BETWEEN 1 AND 9 AND is_set(data_categories)),
    CONSTRAINT access_codes_activities_check
        CHECK (jsonb_array_length(processing_activities) BETWEEN 1 AND 7 AND is_set(processing_activities)),
    CONSTRAINT access_codes_consent_expires_at_bounded_check
        CHECK (consent_expires_at > '-infinity' AND consent_expires_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT access_codes_created_at_bounded_check
        CHECK (created_at > '-infinity' AND created_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT access_codes_expires_at_bounded_check
        CHECK (expires_at > '-infinity' AND expires_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT access_codes_closed_at_bounded_check
        CHECK (closed_at > '-infinity' AND closed_at < '262143-01-01 00:00:00Z')
);

CREATE UNIQUE INDEX access_codes_hash_key ON access_codes (code_hash);
CREATE INDEX idx_access_codes_user_id ON access_codes (user_id);

-- A consent may be given by whoever redeems a code: what the trail says of a patient's consents is found by the patient.
DROP INDEX idx_audit_logs_consents;
CREATE INDEX idx_audit_logs_consents ON audit_logs (patient_id)
    WHERE action_type IN ('CONSENT_GRANT', 'CONSENT_WITHDRAW');

ALTER TABLE deep_checks
    DROP CONSTRAINT deep_checks_stage_check,
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS', 'DELETIONS', 'HOLDS',
        'CODES'
    ));

GRANT SELECT, INSERT, DELETE, UPDATE (closed_at, seal, seal_key) ON access_codes TO meditrustal_api;
GRANT SELECT, UPDATE (seal, seal_key) ON access_codes TO meditrustal_keys;
