REVOKE UPDATE (revoked_at) ON sessions FROM meditrustal_api;
DROP INDEX idx_sessions_revoked_at, idx_sessions_family_page, idx_sessions_user_page, sessions_parent_key;
ALTER TABLE sessions
    DROP COLUMN revoked_at,
    DROP COLUMN idle_expires_at;
