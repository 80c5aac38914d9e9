DROP TABLE patient_keys;
