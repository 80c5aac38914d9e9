-- Log-ins and roles that wait for a second administrator are sealed as accounts are (the migration before).
-- What is ended or closed loses its seal: nothing makes it count again. What is there was written when nothing
-- was sealed, so it ends: people log in again, administrators propose again.
ALTER TABLE sessions
    ADD COLUMN seal BYTEA,
    ADD COLUMN seal_key VARCHAR(64);
ALTER TABLE role_proposals
    ADD COLUMN seal BYTEA,
    ADD COLUMN seal_key VARCHAR(64);

UPDATE sessions SET is_valid = FALSE, revoked_at = CURRENT_TIMESTAMP WHERE is_valid;
UPDATE role_proposals SET closed_at = CURRENT_TIMESTAMP WHERE closed_at IS NULL;

-- What a rotation of the master keys seals anew.
CREATE INDEX idx_sessions_seal_key ON sessions (seal_key, id);

ALTER TABLE deep_checks
    DROP CONSTRAINT deep_checks_stage_check,
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS'
    ));

GRANT UPDATE (seal, seal_key) ON sessions, role_proposals TO meditrustal_api;
-- The rotation checks a seal before it writes another one.
GRANT SELECT (id, user_id, refresh_token, family_id, parent_id, expires_at, idle_expires_at, used_at,
    second_factor_at, is_valid, seal, seal_key), UPDATE (seal, seal_key) ON sessions TO meditrustal_keys;
GRANT SELECT, UPDATE (seal, seal_key) ON role_proposals TO meditrustal_keys;
