-- Requests to erase or restrict: verified by their subject, decided by administrators, held back by legal
-- holds. The states are drawn in docs/data-model.md.
ALTER TABLE data_deletion_requests
    -- Single records, each version by its own id.
    ADD COLUMN record_ids UUID[] NOT NULL DEFAULT '{}',
    ADD COLUMN verification_tries SMALLINT NOT NULL DEFAULT 0,
    ADD COLUMN verified_at TIMESTAMP WITH TIME ZONE,
    -- Numbers of records by type, and how many of them are still to be kept.
    ADD COLUMN scope JSONB,
    -- What was approved: record types or ALL_RECORDS, and single records.
    ADD COLUMN approved_categories TEXT[] NOT NULL DEFAULT '{}',
    ADD COLUMN approved_records UUID[] NOT NULL DEFAULT '{}',
    ADD COLUMN overrides_retention BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN reason TEXT,
    ADD COLUMN approved_by UUID REFERENCES users(id),
    ADD COLUMN approved_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN confirmed_by UUID REFERENCES users(id),
    ADD COLUMN confirmed_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN scheduled_for TIMESTAMP WITH TIME ZONE,
    ADD COLUMN seal BYTEA,
    ADD COLUMN seal_key VARCHAR(64),
    -- Whether only the subject reads what was approved, from the decision to the end.
    ADD COLUMN restricts BOOLEAN GENERATED ALWAYS AS (
        status IN ('approved', 'partially_approved', 'scheduled', 'executing', 'failed')
        OR status = 'on_hold' AND scheduled_for IS NOT NULL
    ) STORED,
    ADD CONSTRAINT data_deletion_requests_tries_check CHECK (verification_tries BETWEEN 0 AND 5),
    ADD CONSTRAINT data_deletion_requests_two_check
        CHECK (approved_by <> user_id AND confirmed_by <> user_id AND confirmed_by <> approved_by),
    ADD CONSTRAINT data_deletion_requests_reason_check CHECK (char_length(reason) <= 500),
    ADD CONSTRAINT data_deletion_requests_verified_at_bounded_check
        CHECK (verified_at > '-infinity' AND verified_at < '262143-01-01 00:00:00Z'),
    ADD CONSTRAINT data_deletion_requests_approved_at_bounded_check
        CHECK (approved_at > '-infinity' AND approved_at < '262143-01-01 00:00:00Z'),
    ADD CONSTRAINT data_deletion_requests_confirmed_at_bounded_check
        CHECK (confirmed_at > '-infinity' AND confirmed_at < '262143-01-01 00:00:00Z'),
    ADD CONSTRAINT data_deletion_requests_scheduled_for_bounded_check
        CHECK (scheduled_for > '-infinity' AND scheduled_for < '262143-01-01 00:00:00Z');

-- A request about single records names no categories.
ALTER TABLE data_deletion_requests
    DROP CONSTRAINT data_deletion_requests_categories_check,
    ADD CONSTRAINT data_deletion_requests_categories_check CHECK (
        jsonb_array_length(data_categories) BETWEEN 0 AND 9
        AND is_set(data_categories)
        AND (jsonb_array_length(data_categories) > 0 OR cardinality(record_ids) > 0)
    );

-- What an administrator has to look at, oldest first.
CREATE INDEX idx_data_deletion_requests_queue ON data_deletion_requests (status, requested_at, id);
-- What restricts reading.
CREATE INDEX idx_data_deletion_requests_restricting ON data_deletion_requests (user_id) WHERE restricts;
CREATE INDEX idx_data_deletion_requests_approved_by ON data_deletion_requests (approved_by);
CREATE INDEX idx_data_deletion_requests_confirmed_by ON data_deletion_requests (confirmed_by);
-- What a rotation of the master keys seals anew.
CREATE INDEX idx_data_deletion_requests_seal_key ON data_deletion_requests (seal_key, id);

-- What a hold covers is not erased while it is in force; two administrators release it.
CREATE TABLE legal_holds (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    patient_id UUID NOT NULL REFERENCES users(id),
    data_categories JSONB NOT NULL,
    record_ids UUID[] NOT NULL DEFAULT '{}',
    reason TEXT NOT NULL CHECK (char_length(reason) <= 500),
    placed_by UUID NOT NULL REFERENCES users(id),
    placed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    release_proposed_by UUID REFERENCES users(id),
    release_proposed_at TIMESTAMP WITH TIME ZONE,
    released_by UUID REFERENCES users(id),
    released_at TIMESTAMP WITH TIME ZONE,
    seal BYTEA,
    seal_key VARCHAR(64),
    CONSTRAINT legal_holds_categories_check
        CHECK (jsonb_array_length(data_categories) <= 9 AND is_set(data_categories)),
    CONSTRAINT legal_holds_two_check CHECK (
        released_by <> release_proposed_by AND placed_by <> patient_id
        AND release_proposed_by <> patient_id AND released_by <> patient_id
    ),
    CONSTRAINT legal_holds_placed_at_bounded_check
        CHECK (placed_at > '-infinity' AND placed_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT legal_holds_release_proposed_at_bounded_check
        CHECK (release_proposed_at > '-infinity' AND release_proposed_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT legal_holds_released_at_bounded_check
        CHECK (released_at > '-infinity' AND released_at < '262143-01-01 00:00:00Z')
);

CREATE INDEX idx_legal_holds_in_force ON legal_holds (patient_id, placed_at, id) WHERE released_at IS NULL;
CREATE INDEX idx_legal_holds_patient_id ON legal_holds (patient_id);
CREATE INDEX idx_legal_holds_page ON legal_holds (placed_at DESC, id DESC);
CREATE INDEX idx_legal_holds_placed_by ON legal_holds (placed_by);
CREATE INDEX idx_legal_holds_release_proposed_by ON legal_holds (release_proposed_by);
CREATE INDEX idx_legal_holds_released_by ON legal_holds (released_by);

ALTER TABLE deep_checks
    DROP CONSTRAINT deep_checks_stage_check,
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS', 'DELETIONS', 'HOLDS'
    ));

GRANT UPDATE (verification_tries, verified_at, scope, approved_categories, approved_records, overrides_retention,
    reason, approved_by, approved_at, confirmed_by, confirmed_at, scheduled_for, seal, seal_key)
    ON data_deletion_requests TO meditrustal_api;
GRANT SELECT, INSERT,
    UPDATE (release_proposed_by, release_proposed_at, released_by, released_at, seal, seal_key)
    ON legal_holds TO meditrustal_api;
GRANT UPDATE (restricted_at) ON medical_records TO meditrustal_api;
-- The rotation checks a seal before it writes another one.
GRANT SELECT, UPDATE (seal, seal_key) ON data_deletion_requests, legal_holds TO meditrustal_keys;
