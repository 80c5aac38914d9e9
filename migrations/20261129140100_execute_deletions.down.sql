DROP FUNCTION erase_wallets(UUID);
DROP FUNCTION destroy_patient_keys(UUID);
DROP FUNCTION erase_records(UUID, INTEGER);
DROP INDEX idx_data_deletion_requests_due;
DROP TABLE deletion_certificates;
DROP TABLE deletion_steps;
