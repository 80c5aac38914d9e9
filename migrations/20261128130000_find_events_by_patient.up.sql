-- A patient's stream reads the events of their own records, however long the log is.
CREATE INDEX idx_integrity_feed_patient_id ON integrity_feed (patient_id, position);
