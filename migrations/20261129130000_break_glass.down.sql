ALTER TABLE deep_checks DROP CONSTRAINT deep_checks_stage_check;
UPDATE deep_checks SET stage = 'KEYS', position = '00000000-0000-0000-0000-000000000000'
WHERE stage = 'WINDOWS';
ALTER TABLE deep_checks
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS'
    ));

DELETE FROM integrity_feed
WHERE finding_id IN (SELECT id FROM integrity_findings WHERE table_name = 'break_glass_windows');
DELETE FROM integrity_findings WHERE table_name = 'break_glass_windows';

DROP INDEX idx_audit_logs_emergencies;
DROP TABLE break_glass_windows;
DROP FUNCTION refuse_second_review();
