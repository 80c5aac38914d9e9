DELETE FROM integrity_feed
WHERE finding_id IN (
    SELECT id FROM integrity_findings WHERE table_name IN ('representatives', 'representative_proposals')
);
DELETE FROM integrity_findings WHERE table_name IN ('representatives', 'representative_proposals');

DELETE FROM notifications WHERE kind IN ('REPRESENTATIVE_APPOINTED', 'REPRESENTATION_ENDED');
ALTER TABLE notifications
    DROP CONSTRAINT notifications_kind_check,
    ADD CONSTRAINT notifications_kind_check CHECK (kind IN (
        'BREAK_GLASS_OPENED', 'BREAK_GLASS_JUSTIFIED', 'BREAK_GLASS_UNJUSTIFIED', 'BREAK_GLASS_ESCALATED'
    ));

ALTER TABLE deep_checks DROP CONSTRAINT deep_checks_stage_check;
UPDATE deep_checks SET stage = 'KEYS', position = '00000000-0000-0000-0000-000000000000'
WHERE stage IN ('REPRESENTATIVES', 'APPOINTMENTS');
ALTER TABLE deep_checks
    ALTER COLUMN stage TYPE VARCHAR(10),
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS', 'DELETIONS', 'HOLDS',
        'CODES', 'ORGS', 'MEMBERS', 'RECEIPTS', 'TRAIL'
    ));

DROP TABLE representative_proposals;
DROP TABLE representatives;
DROP FUNCTION refuse_second_end();
DROP FUNCTION refuse_reopening();
