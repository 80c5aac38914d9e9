REVOKE DELETE ON sessions, idempotency_keys FROM meditrustal_api;

-- A log-in of which a row was removed cannot be what it was: it ends.
DELETE FROM sessions
WHERE family_id IN (
    SELECT token.family_id
    FROM sessions AS token
    LEFT JOIN sessions AS parent ON parent.id = token.parent_id
    WHERE token.parent_id IS NOT NULL AND parent.id IS NULL
);
ALTER TABLE sessions ADD CONSTRAINT sessions_parent_id_fkey
    FOREIGN KEY (parent_id) REFERENCES sessions(id) ON DELETE CASCADE;
