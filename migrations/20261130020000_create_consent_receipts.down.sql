DELETE FROM integrity_feed
WHERE finding_id IN (SELECT id FROM integrity_findings WHERE table_name = 'consent_receipts');
DELETE FROM integrity_findings WHERE table_name = 'consent_receipts';

ALTER TABLE deep_checks DROP CONSTRAINT deep_checks_stage_check;
UPDATE deep_checks SET stage = 'KEYS', position = '00000000-0000-0000-0000-000000000000'
WHERE stage = 'RECEIPTS';
ALTER TABLE deep_checks
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS', 'DELETIONS', 'HOLDS',
        'CODES', 'ORGS', 'MEMBERS'
    ));

DROP TABLE consent_receipts;
