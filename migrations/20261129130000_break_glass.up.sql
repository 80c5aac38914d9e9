-- Emergency access: a doctor opens a window on a patient's records without a consent. A window decides, so it
-- carries a seal. What is written of it in words may say something of the patient's health, and is sealed under the
-- patient's key.
CREATE TABLE break_glass_windows (
    id UUID PRIMARY KEY,
    patient_id UUID NOT NULL REFERENCES users(id),
    doctor_id UUID NOT NULL REFERENCES users(id),
    purpose VARCHAR(100) NOT NULL CHECK (purpose IN ('BTG', 'ETREAT')),
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    -- When the doctor closed it, before its time was over.
    closed_at TIMESTAMP WITH TIME ZONE,
    patient_key_id UUID NOT NULL REFERENCES patient_keys(id),
    sealed_reason BYTEA NOT NULL,
    seal BYTEA,
    seal_key VARCHAR(64),
    -- When its end was written down.
    end_recorded_at TIMESTAMP WITH TIME ZONE,
    -- When every administrator was told that nobody had reviewed it in time.
    escalated_at TIMESTAMP WITH TIME ZONE,
    -- One review, and no other after it.
    reviewed_at TIMESTAMP WITH TIME ZONE,
    reviewed_by UUID REFERENCES users(id),
    decision VARCHAR(20) CHECK (decision IN ('JUSTIFIED', 'UNJUSTIFIED')),
    sealed_note BYTEA,
    CONSTRAINT break_glass_windows_two_check CHECK (patient_id <> doctor_id),
    CONSTRAINT break_glass_windows_time_check CHECK (expires_at > opened_at AND closed_at >= opened_at),
    CONSTRAINT break_glass_windows_review_check
        CHECK (num_nulls(reviewed_at, reviewed_by, decision) IN (0, 3) AND (sealed_note IS NULL OR reviewed_at IS NOT NULL)),
    CONSTRAINT break_glass_windows_reviewer_check CHECK (reviewed_by NOT IN (patient_id, doctor_id)),
    CONSTRAINT break_glass_windows_opened_at_bounded_check
        CHECK (opened_at > '-infinity' AND opened_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT break_glass_windows_expires_at_bounded_check
        CHECK (expires_at > '-infinity' AND expires_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT break_glass_windows_closed_at_bounded_check
        CHECK (closed_at > '-infinity' AND closed_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT break_glass_windows_end_recorded_at_bounded_check
        CHECK (end_recorded_at > '-infinity' AND end_recorded_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT break_glass_windows_escalated_at_bounded_check
        CHECK (escalated_at > '-infinity' AND escalated_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT break_glass_windows_reviewed_at_bounded_check
        CHECK (reviewed_at > '-infinity' AND reviewed_at < '262143-01-01 00:00:00Z')
);

-- A review is final.
CREATE FUNCTION refuse_second_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the review of a window is final';
END;
$$;
CREATE TRIGGER break_glass_windows_one_review
    BEFORE UPDATE OF reviewed_at, reviewed_by, decision, sealed_note ON break_glass_windows
    FOR EACH ROW WHEN (OLD.reviewed_at IS NOT NULL) EXECUTE FUNCTION refuse_second_review();

-- The windows that may be open, of a doctor and on a patient's records.
CREATE INDEX idx_break_glass_windows_doctor_open ON break_glass_windows (doctor_id, expires_at) WHERE closed_at IS NULL;
CREATE INDEX idx_break_glass_windows_patient_open ON break_glass_windows (patient_id, expires_at) WHERE closed_at IS NULL;
-- What people are shown of their own, and how many windows a doctor has opened lately.
CREATE INDEX idx_break_glass_windows_doctor_page ON break_glass_windows (doctor_id, opened_at DESC, id DESC);
CREATE INDEX idx_break_glass_windows_patient_page ON break_glass_windows (patient_id, opened_at DESC, id DESC);
-- The queue of reviews, oldest first.
CREATE INDEX idx_break_glass_windows_page ON break_glass_windows (opened_at, id);
CREATE INDEX idx_break_glass_windows_pending ON break_glass_windows (opened_at, id) WHERE reviewed_at IS NULL;
-- What the schedule looks for.
CREATE INDEX idx_break_glass_windows_unended ON break_glass_windows (expires_at, id) WHERE end_recorded_at IS NULL;
CREATE INDEX idx_break_glass_windows_unescalated ON break_glass_windows (opened_at, id)
    WHERE reviewed_at IS NULL AND escalated_at IS NULL;
CREATE INDEX idx_break_glass_windows_patient_key_id ON break_glass_windows (patient_key_id);
CREATE INDEX idx_break_glass_windows_reviewed_by ON break_glass_windows (reviewed_by);
-- What a rotation of the master keys seals anew.
CREATE INDEX idx_break_glass_windows_seal_key ON break_glass_windows (seal_key, id);

-- What was disclosed by a window: counted for its review.
CREATE INDEX idx_audit_logs_emergencies ON audit_logs (patient_id, user_id, event_time)
    WHERE purpose IN ('BTG', 'ETREAT');

-- The deep check goes through them as well.
ALTER TABLE deep_checks
    DROP CONSTRAINT deep_checks_stage_check,
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS'
    ));

GRANT SELECT, INSERT, UPDATE (closed_at, seal, seal_key, end_recorded_at, escalated_at, reviewed_at, reviewed_by, decision,
    sealed_note) ON break_glass_windows TO meditrustal_api;
-- The rotation checks a seal before it writes another one.
GRANT SELECT (id, patient_id, doctor_id, purpose, opened_at, expires_at, closed_at, patient_key_id, sealed_reason, seal,
    seal_key), UPDATE (seal, seal_key) ON break_glass_windows TO meditrustal_keys;
