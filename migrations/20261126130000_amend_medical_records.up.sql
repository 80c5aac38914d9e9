-- Versions of a record: which took the place of which, and whether one withdraws it.
ALTER TABLE medical_records
    -- When another version took its place; NULL for the current one. Set once.
    ADD COLUMN superseded_at TIMESTAMP WITH TIME ZONE,
    -- The document is marked as entered in error: this is the last version.
    ADD COLUMN withdrawn BOOLEAN NOT NULL DEFAULT FALSE;

-- A version has one successor, whatever races. Serves the foreign key, too.
CREATE UNIQUE INDEX medical_records_predecessor_key ON medical_records (predecessor_id)
    WHERE predecessor_id IS NOT NULL;
DROP INDEX idx_medical_records_predecessor_id;

CREATE FUNCTION supersede_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a version is superseded once' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER medical_records_superseded_once BEFORE UPDATE OF superseded_at ON medical_records
    FOR EACH ROW WHEN (OLD.superseded_at IS NOT NULL) EXECUTE FUNCTION supersede_once();

-- What the signed transaction says of the version before, and which that is in any case.
ALTER TABLE record_anchors
    ADD COLUMN predecessor_hash VARCHAR(64),
    ADD COLUMN supersedes BOOLEAN NOT NULL DEFAULT FALSE;

GRANT UPDATE (superseded_at) ON medical_records TO meditrustal_api;
GRANT SELECT (version, predecessor_id, superseded_at) ON medical_records TO meditrustal_indexer;
