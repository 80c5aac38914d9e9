-- People who act for a patient, in some activities and for a time. The patient names them, or two administrators do.
-- A row decides, so it carries a seal. It never changes but for its one end.
CREATE TABLE representatives (
    id UUID PRIMARY KEY,
    patient_id UUID NOT NULL REFERENCES users(id),
    representative_id UUID NOT NULL REFERENCES users(id),
    relationship VARCHAR(20) NOT NULL CHECK (relationship IN ('PARENT', 'GUARDIAN', 'CARER')),
    activities JSONB NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    valid_until TIMESTAMP WITH TIME ZONE NOT NULL,
    appointed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    -- The two administrators and their reason; all of them empty where the patient did it.
    proposed_by UUID REFERENCES users(id),
    approved_by UUID REFERENCES users(id),
    reason TEXT,
    ended_at TIMESTAMP WITH TIME ZONE,
    seal BYTEA,
    seal_key VARCHAR(64),
    CONSTRAINT representatives_two_check CHECK (patient_id <> representative_id),
    CONSTRAINT representatives_activities_check
        CHECK (
            jsonb_array_length(activities) BETWEEN 1 AND 6 AND is_set(activities)
            AND activities <@ '["READ_RECORDS", "CREATE_RECORDS", "EXPORT_RECORDS", "READ_ACCESS_LOG", "READ_CONSENTS",
                "CHANGE_CONSENTS"]'::jsonb
        ),
    CONSTRAINT representatives_time_check CHECK (valid_until > valid_from),
    CONSTRAINT representatives_appointment_check CHECK (
        num_nulls(proposed_by, approved_by, reason) IN (0, 3)
        AND proposed_by <> approved_by
        AND proposed_by NOT IN (patient_id, representative_id)
        AND approved_by NOT IN (patient_id, representative_id)
    ),
    CONSTRAINT representatives_reason_check CHECK (char_length(reason) <= 1000),
    CONSTRAINT representatives_valid_from_bounded_check
        CHECK (valid_from > '-infinity' AND valid_from < '262143-01-01 00:00:00Z'),
    CONSTRAINT representatives_valid_until_bounded_check
        CHECK (valid_until > '-infinity' AND valid_until < '262143-01-01 00:00:00Z'),
    CONSTRAINT representatives_appointed_at_bounded_check
        CHECK (appointed_at > '-infinity' AND appointed_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT representatives_ended_at_bounded_check
        CHECK (ended_at > '-infinity' AND ended_at < '262143-01-01 00:00:00Z')
);

-- An end is final.
CREATE FUNCTION refuse_second_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the end of a representation is final' USING ERRCODE = 'insufficient_privilege';
END;
$$;
CREATE TRIGGER representatives_one_end
    BEFORE UPDATE OF ended_at ON representatives
    FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_second_end();

-- What somebody may do for a patient now, and whom a patient has.
CREATE INDEX idx_representatives_pair ON representatives (representative_id, patient_id) WHERE ended_at IS NULL;
-- What people are shown.
CREATE INDEX idx_representatives_patient_page ON representatives (patient_id, appointed_at DESC, id DESC);
CREATE INDEX idx_representatives_representative_page ON representatives (representative_id, appointed_at DESC, id DESC);
CREATE INDEX idx_representatives_proposed_by ON representatives (proposed_by);
CREATE INDEX idx_representatives_approved_by ON representatives (approved_by);
-- What a rotation of the master keys seals anew.
CREATE INDEX idx_representatives_seal_key ON representatives (seal_key, id);

-- What one administrator proposed and another has to approve. Whoever closes a proposal takes its seal off.
CREATE TABLE representative_proposals (
    id UUID PRIMARY KEY,
    patient_id UUID NOT NULL REFERENCES users(id),
    representative_id UUID NOT NULL REFERENCES users(id),
    relationship VARCHAR(20) NOT NULL CHECK (relationship IN ('PARENT', 'GUARDIAN', 'CARER')),
    activities JSONB NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE,
    valid_until TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT NOT NULL,
    proposed_by UUID NOT NULL REFERENCES users(id),
    proposed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    closed_by UUID REFERENCES users(id),
    seal BYTEA,
    seal_key VARCHAR(64),
    CONSTRAINT representative_proposals_two_check
        CHECK (patient_id <> representative_id AND proposed_by NOT IN (patient_id, representative_id)),
    CONSTRAINT representative_proposals_activities_check
        CHECK (
            jsonb_array_length(activities) BETWEEN 1 AND 6 AND is_set(activities)
            AND activities <@ '["READ_RECORDS", "CREATE_RECORDS", "EXPORT_RECORDS", "READ_ACCESS_LOG", "READ_CONSENTS",
                "CHANGE_CONSENTS"]'::jsonb
        ),
    CONSTRAINT representative_proposals_reason_check CHECK (char_length(reason) <= 1000),
    CONSTRAINT representative_proposals_closed_check CHECK (num_nulls(closed_at, closed_by) IN (0, 2)),
    CONSTRAINT representative_proposals_valid_from_bounded_check
        CHECK (valid_from > '-infinity' AND valid_from < '262143-01-01 00:00:00Z'),
    CONSTRAINT representative_proposals_valid_until_bounded_check
        CHECK (valid_until > '-infinity' AND valid_until < '262143-01-01 00:00:00Z'),
    CONSTRAINT representative_proposals_proposed_at_bounded_check
        CHECK (proposed_at > '-infinity' AND proposed_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT representative_proposals_expires_at_bounded_check
        CHECK (expires_at > '-infinity' AND expires_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT representative_proposals_closed_at_bounded_check
        CHECK (closed_at > '-infinity' AND closed_at < '262143-01-01 00:00:00Z')
);

-- What was closed stays closed.
CREATE FUNCTION refuse_reopening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what became of a proposal is final' USING ERRCODE = 'insufficient_privilege';
END;
$$;
CREATE TRIGGER representative_proposals_one_close
    BEFORE UPDATE OF closed_at, closed_by, seal, seal_key ON representative_proposals
    FOR EACH ROW WHEN (OLD.closed_at IS NOT NULL) EXECUTE FUNCTION refuse_reopening();

-- What waits, newest first.
CREATE INDEX idx_representative_proposals_page ON representative_proposals (proposed_at DESC, id DESC)
    WHERE closed_at IS NULL;
CREATE INDEX idx_representative_proposals_patient_id ON representative_proposals (patient_id);
CREATE INDEX idx_representative_proposals_representative_id ON representative_proposals (representative_id);
CREATE INDEX idx_representative_proposals_proposed_by ON representative_proposals (proposed_by);
CREATE INDEX idx_representative_proposals_closed_by ON representative_proposals (closed_by);

-- The deep check goes through both as well.
ALTER TABLE deep_checks
    ALTER COLUMN stage TYPE VARCHAR(30),
    DROP CONSTRAINT deep_checks_stage_check,
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS', 'DELETIONS', 'HOLDS',
        'CODES', 'ORGS', 'MEMBERS', 'RECEIPTS', 'TRAIL', 'REPRESENTATIVES', 'APPOINTMENTS'
    ));

-- Patients and representatives are told of appointments and of ends.
ALTER TABLE notifications
    DROP CONSTRAINT notifications_kind_check,
    ADD CONSTRAINT notifications_kind_check CHECK (kind IN (
        'BREAK_GLASS_OPENED', 'BREAK_GLASS_JUSTIFIED', 'BREAK_GLASS_UNJUSTIFIED', 'BREAK_GLASS_ESCALATED',
        'REPRESENTATIVE_APPOINTED', 'REPRESENTATION_ENDED'
    ));

GRANT SELECT, INSERT, UPDATE (ended_at, seal, seal_key) ON representatives TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (closed_at, closed_by, seal, seal_key) ON representative_proposals TO meditrustal_api;
-- The rotation checks a seal before it writes another one.
GRANT SELECT, UPDATE (seal, seal_key) ON representatives, representative_proposals TO meditrustal_keys;
