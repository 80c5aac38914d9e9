DELETE FROM integrity_feed
WHERE finding_id IN (SELECT id FROM integrity_findings WHERE table_name = 'access_codes');
DELETE FROM integrity_findings WHERE table_name = 'access_codes';

ALTER TABLE deep_checks DROP CONSTRAINT deep_checks_stage_check;
UPDATE deep_checks SET stage = 'KEYS', position = '00000000-0000-0000-0000-000000000000'
WHERE stage = 'CODES';
ALTER TABLE deep_checks
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS', 'DELETIONS', 'HOLDS'
    ));

DROP INDEX idx_audit_logs_consents;
CREATE INDEX idx_audit_logs_consents ON audit_logs (user_id)
    WHERE action_type IN ('CONSENT_GRANT', 'CONSENT_WITHDRAW');

DROP TABLE access_codes;
