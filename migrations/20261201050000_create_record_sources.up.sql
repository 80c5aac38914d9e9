-- Which record was made of which document of another system (docs/decisions/0064-documents-keep-their-source.md). What the system
-- calls its documents is not in here, but what is made of it under the index key; so is what a document says, by which the same
-- document is known again.
CREATE TABLE record_sources (
    record_id UUID PRIMARY KEY REFERENCES medical_records(id) ON DELETE CASCADE,
    patient_id UUID NOT NULL REFERENCES users(id),
    source_token BYTEA NOT NULL CHECK (octet_length(source_token) = 32),
    version INTEGER NOT NULL CHECK (version >= 1),
    resource_type VARCHAR(64) NOT NULL CHECK (resource_type ~ '^[A-Za-z]{1,64}$'),
    source_version VARCHAR(64) CHECK (source_version ~ '^[A-Za-z0-9.-]{1,64}$'),
    source_updated_at TIMESTAMP WITH TIME ZONE,
    content_token BYTEA NOT NULL CHECK (octet_length(content_token) = 32),
    mac BYTEA NOT NULL CHECK (octet_length(mac) = 32),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- Of one document of a source there is one line of versions: whoever comes second looks again.
    CONSTRAINT record_sources_source_key UNIQUE (patient_id, source_token, version),
    CONSTRAINT record_sources_source_updated_at_bounded_check
        CHECK (source_updated_at > '-infinity' AND source_updated_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT record_sources_created_at_bounded_check
        CHECK (created_at > '-infinity' AND created_at < '262143-01-01 00:00:00Z')
);

GRANT SELECT, INSERT ON record_sources TO meditrustal_api;

-- A record that is erased, by whatever way, is known by no source any more.
CREATE FUNCTION forget_source() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    DELETE FROM record_sources WHERE record_id = NEW.id;
    RETURN NULL;
END
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION forget_source() SET search_path = %I, pg_temp', current_schema());
END
$$;
REVOKE EXECUTE ON FUNCTION forget_source() FROM PUBLIC;
CREATE TRIGGER medical_records_forget_source AFTER UPDATE OF erased_at ON medical_records
    FOR EACH ROW WHEN (NEW.erased_at IS NOT NULL) EXECUTE FUNCTION forget_source();
