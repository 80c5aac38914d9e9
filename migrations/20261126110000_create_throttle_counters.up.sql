-- How often somebody has tried, so that all api processes count together and a restart forgets nothing.
-- Subjects are SHA-256 of names and networks, 64 hex digits: whose they are is not said here.
CREATE TABLE throttle_counters (
    scope VARCHAR(20) NOT NULL
        CHECK (scope IN ('PAIR', 'ADDRESS', 'REGISTRATIONS', 'ACCOUNT', 'EVERYBODY')),
    subject VARCHAR(64) NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    -- When the next attempt is taken, or when the counter is empty again: see domain::throttle.
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    proven_at TIMESTAMP WITH TIME ZONE,
    is_told BOOLEAN NOT NULL DEFAULT FALSE,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (scope, subject)
) WITH (fillfactor = 50); -- Rows change often and no index with them: there is room to do it in place.

GRANT SELECT, INSERT, DELETE, UPDATE (failures, due_at, proven_at, is_told, updated_at)
    ON throttle_counters TO meditrustal_api;
