-- What people are told. Append-only, but for when it was read. Writers hold advisory lock 0x6e6f74650001 until they
-- commit, so positions are in commit order and a reader that remembers the last one it saw never misses one.
CREATE TABLE notifications (
    id UUID PRIMARY KEY,
    position BIGSERIAL NOT NULL UNIQUE,
    -- Who is told.
    user_id UUID NOT NULL REFERENCES users(id),
    kind VARCHAR(30) NOT NULL CHECK (kind IN (
        'BREAK_GLASS_OPENED', 'BREAK_GLASS_JUSTIFIED', 'BREAK_GLASS_UNJUSTIFIED', 'BREAK_GLASS_ESCALATED'
    )),
    -- Who did what it tells.
    actor_id UUID NOT NULL REFERENCES users(id),
    -- What it is about: a window.
    resource_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT notifications_at_bounded_check CHECK (at > '-infinity' AND at < '262143-01-01 00:00:00Z'),
    CONSTRAINT notifications_read_at_bounded_check
        CHECK (read_at > '-infinity' AND read_at < '262143-01-01 00:00:00Z')
);

CREATE INDEX idx_notifications_user_page ON notifications (user_id, position DESC);
CREATE INDEX idx_notifications_unread ON notifications (user_id, position DESC) WHERE read_at IS NULL;
CREATE INDEX idx_notifications_actor_id ON notifications (actor_id);

GRANT SELECT, INSERT, UPDATE (read_at) ON notifications TO meditrustal_api;
GRANT USAGE ON SEQUENCE notifications_position_seq TO meditrustal_api;
