DROP TRIGGER audit_logs_tree ON audit_logs;
DROP FUNCTION hash_audit_row();
ALTER TABLE audit_logs
    DROP COLUMN leaf_salt,
    DROP COLUMN leaf_layout,
    DROP COLUMN leaf_xid,
    DROP COLUMN leaf_hash;
