-- What a patient allows and refuses. Append-only but for a withdrawal, which happens once.
CREATE TABLE data_processing_consents (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users(id),
    purpose VARCHAR(100) NOT NULL,
    consent_given_at TIMESTAMP WITH TIME ZONE NOT NULL,
    consent_expires_at TIMESTAMP WITH TIME ZONE,
    consent_withdrawn_at TIMESTAMP WITH TIME ZONE,
    data_categories JSONB NOT NULL,
    processing_activities JSONB NOT NULL,
    third_parties JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT data_processing_consents_expiry_check
        CHECK (consent_expires_at IS NULL OR consent_expires_at > consent_given_at)
);

CREATE INDEX idx_data_processing_consents_user ON data_processing_consents(user_id);
CREATE INDEX idx_data_processing_consents_purpose ON data_processing_consents(purpose);

-- A patient's consents, newest first.
CREATE INDEX idx_data_processing_consents_user_page
    ON data_processing_consents (user_id, consent_given_at DESC, id DESC);
-- Which patients let this doctor in: third_parties @> '[{"kind":"user","id":…}]'.
CREATE INDEX idx_data_processing_consents_third_parties
    ON data_processing_consents USING gin (third_parties jsonb_path_ops);

CREATE FUNCTION refuse_consent_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE'
        OR OLD.consent_withdrawn_at IS NOT NULL
        OR NEW.consent_withdrawn_at IS NULL
        OR (NEW.id, NEW.user_id, NEW.purpose, NEW.consent_given_at, NEW.created_at)
            IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.purpose, OLD.consent_given_at, OLD.created_at)
        OR (NEW.consent_expires_at, NEW.data_categories, NEW.processing_activities, NEW.third_parties)
            IS DISTINCT FROM
            (OLD.consent_expires_at, OLD.data_categories, OLD.processing_activities, OLD.third_parties)
    THEN
        RAISE EXCEPTION 'a consent can only be withdrawn, and once'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER data_processing_consents_append_only
    BEFORE UPDATE OR DELETE ON data_processing_consents
    FOR EACH ROW EXECUTE FUNCTION refuse_consent_change();
CREATE TRIGGER data_processing_consents_never_truncated BEFORE TRUNCATE ON data_processing_consents
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER data_processing_consents_touch_updated_at BEFORE UPDATE ON data_processing_consents
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
