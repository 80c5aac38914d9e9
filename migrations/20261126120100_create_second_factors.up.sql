-- A second factor for each account that wants one: a time-based code (RFC 6238) and codes for the
-- day the device is lost.
CREATE TABLE second_factors (
    user_id UUID PRIMARY KEY REFERENCES users(id),
    -- The shared secret, sealed by a master key for this user alone.
    sealed_secret BYTEA NOT NULL,
    master_key_id VARCHAR(64) NOT NULL,
    -- The last step whose code was taken: no code serves twice.
    last_step BIGINT NOT NULL DEFAULT 0 CHECK (last_step >= 0),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- NULL until its first code: until then it protects, and locks out, nobody.
    confirmed_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_second_factors_master_key_id ON second_factors (master_key_id, user_id);

CREATE TABLE recovery_codes (
    user_id UUID NOT NULL REFERENCES second_factors(user_id) ON DELETE CASCADE,
    -- The SHA-256 of the code, never the code.
    code_hash VARCHAR(64) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    used_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (user_id, code_hash)
);

-- When this log-in showed a second factor; NULL where it did not.
ALTER TABLE sessions ADD COLUMN second_factor_at TIMESTAMP WITH TIME ZONE;

GRANT SELECT, INSERT, DELETE, UPDATE (sealed_secret, master_key_id, last_step, created_at, confirmed_at)
    ON second_factors TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (used_at) ON recovery_codes TO meditrustal_api;
GRANT UPDATE (second_factor_at) ON sessions TO meditrustal_api;
