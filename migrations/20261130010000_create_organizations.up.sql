-- Hospitals and practices, and who belongs to them from when to when: a consent may name an organisation, and lets in who
-- belongs to it at that moment. A membership is append-only but for its end, which happens once.
CREATE TABLE organizations (
    id UUID PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    -- ISO 3166-1 alpha-2.
    country VARCHAR(2) NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    seal BYTEA,
    seal_key VARCHAR(64),
    CONSTRAINT organizations_name_check CHECK (char_length(name) BETWEEN 2 AND 200),
    CONSTRAINT organizations_country_check CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT organizations_created_at_bounded_check
        CHECK (created_at > '-infinity' AND created_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT organizations_updated_at_bounded_check
        CHECK (updated_at > '-infinity' AND updated_at < '262143-01-01 00:00:00Z')
);

-- Nobody names the wrong one of two that are called alike.
CREATE UNIQUE INDEX organizations_name_key ON organizations (country, lower(name));
CREATE INDEX idx_organizations_words ON organizations USING gin (words_of(name));
CREATE INDEX idx_organizations_page ON organizations (created_at DESC, id DESC);
CREATE INDEX idx_organizations_seal_key ON organizations (seal_key, id);

-- What an organisation was before has a seal, too: nobody puts that row back, and none is removed.
CREATE FUNCTION refuse_older_organization() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE'
        OR (NEW.id, NEW.created_at) IS DISTINCT FROM (OLD.id, OLD.created_at)
        OR (NEW.name, NEW.country, NEW.is_active, NEW.updated_at)
            IS DISTINCT FROM
            (OLD.name, OLD.country, OLD.is_active, OLD.updated_at)
            AND NEW.updated_at <= OLD.updated_at
    THEN
        RAISE EXCEPTION 'an organisation can only be changed, at a later moment than before'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION refuse_older_organization() FROM PUBLIC;

CREATE TRIGGER organizations_only_newer BEFORE UPDATE OR DELETE ON organizations
    FOR EACH ROW EXECUTE FUNCTION refuse_older_organization();

CREATE TABLE memberships (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users(id),
    organization_id UUID NOT NULL REFERENCES organizations(id),
    valid_from TIMESTAMPTZ NOT NULL,
    valid_until TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    seal BYTEA,
    seal_key VARCHAR(64),
    CONSTRAINT memberships_validity_check CHECK (valid_until > valid_from),
    CONSTRAINT memberships_valid_from_bounded_check
        CHECK (valid_from > '-infinity' AND valid_from < '262143-01-01 00:00:00Z'),
    CONSTRAINT memberships_valid_until_bounded_check
        CHECK (valid_until > '-infinity' AND valid_until < '262143-01-01 00:00:00Z'),
    CONSTRAINT memberships_ended_at_bounded_check
        CHECK (ended_at > '-infinity' AND ended_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT memberships_created_at_bounded_check
        CHECK (created_at > '-infinity' AND created_at < '262143-01-01 00:00:00Z')
);

CREATE INDEX idx_memberships_user_id ON memberships (user_id, created_at DESC, id DESC);
CREATE INDEX idx_memberships_organization_id ON memberships (organization_id, created_at DESC, id DESC);
CREATE INDEX idx_memberships_seal_key ON memberships (seal_key, id);

CREATE FUNCTION refuse_membership_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE'
        OR (NEW.id, NEW.user_id, NEW.organization_id, NEW.valid_from, NEW.valid_until, NEW.created_at)
            IS DISTINCT FROM
            (OLD.id, OLD.user_id, OLD.organization_id, OLD.valid_from, OLD.valid_until, OLD.created_at)
        OR OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at
    THEN
        RAISE EXCEPTION 'a membership can only be ended, and once'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION refuse_membership_change() FROM PUBLIC;

CREATE TRIGGER memberships_append_only BEFORE UPDATE OR DELETE ON memberships
    FOR EACH ROW EXECUTE FUNCTION refuse_membership_change();
CREATE TRIGGER memberships_never_truncated BEFORE TRUNCATE ON memberships
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the trail says of memberships is compared with their rows.
CREATE INDEX idx_audit_logs_memberships ON audit_logs (patient_id)
    WHERE action_type IN ('MEMBERSHIP_ADD', 'MEMBERSHIP_END');

ALTER TABLE deep_checks
    DROP CONSTRAINT deep_checks_stage_check,
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS', 'DELETIONS', 'HOLDS',
        'CODES', 'ORGS', 'MEMBERS'
    ));

GRANT SELECT, INSERT, UPDATE (name, country, is_active, updated_at, seal, seal_key) ON organizations TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (ended_at, seal, seal_key) ON memberships TO meditrustal_api;
-- The rotation checks a seal before it writes another one.
GRANT SELECT, UPDATE (seal, seal_key) ON organizations, memberships TO meditrustal_keys;
