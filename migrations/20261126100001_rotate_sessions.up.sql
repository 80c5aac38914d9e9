-- A log-in is a family of rows: its first row stands for the whole of it (id = family_id = the `sid` of its
-- access tokens), and each use of a refresh token adds a child. expires_at is the end of the whole log-in in
-- every row of it; idle_expires_at is until when the row's own refresh token may be used. A row from before
-- has no such time, and nobody holds its token.
ALTER TABLE sessions
    ADD COLUMN idle_expires_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN revoked_at TIMESTAMP WITH TIME ZONE;

-- One child for each row: what a refresh token was rotated to.
CREATE UNIQUE INDEX sessions_parent_key ON sessions (parent_id) WHERE parent_id IS NOT NULL;
-- A person's log-ins, newest first, and the last use of each.
CREATE INDEX idx_sessions_user_page ON sessions (user_id, created_at DESC, id DESC) WHERE parent_id IS NULL;
CREATE INDEX idx_sessions_family_page ON sessions (family_id, created_at DESC);
-- What was revoked lately: every api process asks, about once a second.
CREATE INDEX idx_sessions_revoked_at ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

GRANT UPDATE (revoked_at) ON sessions TO meditrustal_api;
