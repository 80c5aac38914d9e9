-- Sealed FHIR documents. The columns up to updated_at are the specification's.
CREATE TABLE medical_records (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    patient_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    blockchain_record_id VARCHAR(66) UNIQUE NOT NULL,
    record_type VARCHAR(50) NOT NULL CHECK (record_type IN (
        'DIAGNOSIS',
        'LAB_RESULT',
        'PRESCRIPTION',
        'TREATMENT_PLAN',
        'MEDICAL_HISTORY',
        'VITAL_SIGNS',
        'IMAGING',
        'VACCINATION'
    )),
    record_metadata JSONB,
    encrypted_data BYTEA NOT NULL,
    data_hash VARCHAR(64) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- Who wrote it; NULL for imports without a known author.
    author_id UUID REFERENCES users(id),
    -- The key the document is sealed under.
    patient_key_id UUID REFERENCES patient_keys(id),
    version INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),
    predecessor_id UUID REFERENCES medical_records(id),
    -- The bullets of the specification this document lacks; NULL means complete.
    missing_elements JSONB,
    -- Deletion: restricted to the subject during grace, then erased.
    restricted_at TIMESTAMP WITH TIME ZONE,
    erased_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_medical_records_patient_id ON medical_records(patient_id);
CREATE INDEX idx_medical_records_blockchain_record_id ON medical_records(blockchain_record_id);
CREATE INDEX idx_medical_records_record_type ON medical_records(record_type);
CREATE INDEX idx_medical_records_record_metadata ON medical_records USING gin (record_metadata);

-- A patient's records, newest first: the page that every frontend opens with.
CREATE INDEX idx_medical_records_patient_page ON medical_records (patient_id, created_at DESC, id DESC);
CREATE INDEX idx_medical_records_author_id ON medical_records (author_id, created_at DESC, id DESC);
CREATE INDEX idx_medical_records_predecessor_id ON medical_records (predecessor_id);
CREATE INDEX idx_medical_records_patient_key_id ON medical_records (patient_key_id);
-- The indexer finds a record by the hash an event carries.
CREATE INDEX idx_medical_records_data_hash ON medical_records (data_hash);

CREATE TRIGGER medical_records_touch_updated_at BEFORE UPDATE ON medical_records
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
