DROP INDEX idx_medical_records_code_tokens;
DROP INDEX idx_medical_records_effective;
DROP INDEX idx_medical_records_created;
DROP INDEX idx_medical_records_patient_effective;
ALTER TABLE medical_records
    DROP COLUMN code_tokens,
    DROP COLUMN effective_at;
