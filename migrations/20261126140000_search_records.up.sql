-- What records are searched by beyond the specification's columns.
ALTER TABLE medical_records
    -- When what the document says was so, as far as it says; NULL where it does not.
    ADD COLUMN effective_at TIMESTAMP WITH TIME ZONE,
    -- The document's codes, each as a keyed hash that is good for this patient alone. Never in clear.
    ADD COLUMN code_tokens BYTEA[];

-- A patient's records by when they were so; where that is not known, by when they were stored.
CREATE INDEX idx_medical_records_patient_effective
    ON medical_records (patient_id, (COALESCE(effective_at, created_at)) DESC, id DESC);
-- The newest of everybody's, for somebody whom very many patients let in.
CREATE INDEX idx_medical_records_created ON medical_records (created_at DESC, id DESC);
CREATE INDEX idx_medical_records_effective
    ON medical_records ((COALESCE(effective_at, created_at)) DESC, id DESC);
CREATE INDEX idx_medical_records_code_tokens ON medical_records USING gin (code_tokens);
