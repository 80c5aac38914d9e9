REVOKE SELECT, UPDATE (seal, seal_key) ON data_deletion_requests FROM meditrustal_keys;
REVOKE UPDATE (restricted_at) ON medical_records FROM meditrustal_api;

ALTER TABLE deep_checks DROP CONSTRAINT deep_checks_stage_check;
UPDATE deep_checks SET stage = 'KEYS', position = '00000000-0000-0000-0000-000000000000'
WHERE stage IN ('DELETIONS', 'HOLDS');
ALTER TABLE deep_checks
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS'
    ));

DROP TABLE legal_holds;

-- The program before knows requests about categories alone.
DROP INDEX idx_data_deletion_requests_queue;
DROP INDEX idx_data_deletion_requests_restricting;
DELETE FROM data_deletion_requests WHERE jsonb_array_length(data_categories) = 0;
ALTER TABLE data_deletion_requests
    DROP CONSTRAINT data_deletion_requests_categories_check,
    ADD CONSTRAINT data_deletion_requests_categories_check
        CHECK (jsonb_array_length(data_categories) BETWEEN 1 AND 9 AND is_set(data_categories)),
    DROP COLUMN restricts,
    DROP COLUMN record_ids,
    DROP COLUMN verification_tries,
    DROP COLUMN verified_at,
    DROP COLUMN scope,
    DROP COLUMN approved_categories,
    DROP COLUMN approved_records,
    DROP COLUMN overrides_retention,
    DROP COLUMN reason,
    DROP COLUMN approved_by,
    DROP COLUMN approved_at,
    DROP COLUMN confirmed_by,
    DROP COLUMN confirmed_at,
    DROP COLUMN scheduled_for,
    DROP COLUMN seal,
    DROP COLUMN seal_key;
