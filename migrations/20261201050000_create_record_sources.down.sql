DROP TRIGGER medical_records_forget_source ON medical_records;
DROP FUNCTION forget_source();
DROP TABLE record_sources;
