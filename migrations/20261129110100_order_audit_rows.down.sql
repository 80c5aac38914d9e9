DROP INDEX idx_audit_logs_leaf;
DROP TABLE audit_watermark, audit_nodes, audit_leaves;
