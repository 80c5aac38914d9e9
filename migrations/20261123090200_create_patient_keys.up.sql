-- One data key per patient, wrapped by a master key. Destroying it makes every record of the
-- patient unreadable for ever. Backed up apart from the records.
CREATE TABLE patient_keys (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    patient_id UUID NOT NULL REFERENCES users(id),
    -- NULL once destroyed.
    wrapped_key BYTEA,
    master_key_id VARCHAR(64) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    destroyed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT patient_keys_destroyed_check CHECK ((wrapped_key IS NULL) = (destroyed_at IS NOT NULL))
);

-- At most one living key per patient: two first records at once cannot make two.
CREATE UNIQUE INDEX patient_keys_living_key ON patient_keys (patient_id) WHERE destroyed_at IS NULL;
CREATE INDEX idx_patient_keys_patient_id ON patient_keys (patient_id);
CREATE INDEX idx_patient_keys_master_key_id ON patient_keys (master_key_id, id);
