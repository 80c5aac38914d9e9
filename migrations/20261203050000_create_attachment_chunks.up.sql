-- Files beside records, sealed in chunks (docs/decisions/0070-files-follow-their-record.md). What a file is, how long it is and what
-- its SHA-256 is, stands in the record's document, which was hashed and anchored before the file came.
CREATE TABLE attachment_chunks (
    record_id UUID NOT NULL REFERENCES medical_records(id) ON DELETE CASCADE,
    place INTEGER NOT NULL CHECK (place BETWEEN 1 AND 64),
    number INTEGER NOT NULL CHECK (number BETWEEN 0 AND 63),
    -- A chunk of at most 256 KiB, and 29 bytes of its envelope.
    sealed BYTEA NOT NULL CHECK (octet_length(sealed) BETWEEN 30 AND 262173),
    PRIMARY KEY (record_id, place, number)
);
-- What is sealed does not get shorter.
ALTER TABLE attachment_chunks ALTER COLUMN sealed SET STORAGE EXTERNAL;

GRANT SELECT, INSERT ON attachment_chunks TO meditrustal_api;

-- The files of a record that is erased, by whatever way, go with it.
CREATE FUNCTION remove_attachments() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    DELETE FROM attachment_chunks WHERE record_id = NEW.id;
    RETURN NULL;
END
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION remove_attachments() SET search_path = %I, pg_temp', current_schema());
END
$$;
REVOKE EXECUTE ON FUNCTION remove_attachments() FROM PUBLIC;
CREATE TRIGGER medical_records_remove_attachments AFTER UPDATE OF erased_at ON medical_records
    FOR EACH ROW WHEN (NEW.erased_at IS NOT NULL) EXECUTE FUNCTION remove_attachments();
