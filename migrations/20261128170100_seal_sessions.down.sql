REVOKE SELECT, UPDATE (seal, seal_key) ON role_proposals FROM meditrustal_keys;
REVOKE SELECT (id, user_id, refresh_token, family_id, parent_id, expires_at, idle_expires_at, used_at,
    second_factor_at, is_valid, seal, seal_key), UPDATE (seal, seal_key) ON sessions FROM meditrustal_keys;

ALTER TABLE deep_checks DROP CONSTRAINT deep_checks_stage_check;
UPDATE deep_checks SET stage = 'KEYS', position = '00000000-0000-0000-0000-000000000000'
WHERE stage IN ('SESSIONS', 'PROPOSALS');
ALTER TABLE deep_checks
    ADD CONSTRAINT deep_checks_stage_check
        CHECK (stage IN ('KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS'));

ALTER TABLE role_proposals DROP COLUMN seal, DROP COLUMN seal_key;
ALTER TABLE sessions DROP COLUMN seal, DROP COLUMN seal_key;
