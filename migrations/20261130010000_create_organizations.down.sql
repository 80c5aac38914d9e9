DELETE FROM integrity_feed
WHERE finding_id IN (SELECT id FROM integrity_findings WHERE table_name IN ('organizations', 'memberships'));
DELETE FROM integrity_findings WHERE table_name IN ('organizations', 'memberships');

ALTER TABLE deep_checks DROP CONSTRAINT deep_checks_stage_check;
UPDATE deep_checks SET stage = 'KEYS', position = '00000000-0000-0000-0000-000000000000'
WHERE stage IN ('ORGS', 'MEMBERS');
ALTER TABLE deep_checks
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS', 'DELETIONS', 'HOLDS',
        'CODES'
    ));

DROP INDEX idx_audit_logs_memberships;
DROP TABLE memberships;
DROP FUNCTION refuse_membership_change();
DROP TABLE organizations;
DROP FUNCTION refuse_older_organization();
