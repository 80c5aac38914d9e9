-- What was sealed is lost: the backup from before has it.
DROP FUNCTION erase_reasons(UUID);
DROP FUNCTION empty_reasons(UUID);
DROP FUNCTION seal_hold_reason(UUID, TEXT, BYTEA, UUID);
DROP INDEX idx_legal_holds_clear_reason;
DROP INDEX idx_data_deletion_requests_clear_reason;
DROP INDEX idx_legal_holds_reason_key_id;
DROP INDEX idx_data_deletion_requests_reason_key_id;
ALTER TABLE legal_holds
    DROP CONSTRAINT legal_holds_sealed_reason_check,
    DROP COLUMN reason_key_id,
    DROP COLUMN sealed_reason;
ALTER TABLE legal_holds ALTER COLUMN reason DROP DEFAULT;
ALTER TABLE data_deletion_requests
    DROP CONSTRAINT data_deletion_requests_sealed_reason_check,
    DROP COLUMN reason_key_id,
    DROP COLUMN sealed_reason;
