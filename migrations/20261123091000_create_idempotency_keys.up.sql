-- The same key gives the same answer: written in the transaction of what it made.
CREATE TABLE idempotency_keys (
    user_id UUID NOT NULL REFERENCES users(id),
    operation VARCHAR(50) NOT NULL,
    key VARCHAR(128) NOT NULL,
    -- SHA-256 of the request, so that a key reused for something else is a conflict.
    request_hash VARCHAR(64) NOT NULL,
    resource_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (user_id, operation, key)
);
