-- The tree of RFC 9162 over the leaves of audit_logs (docs/audit-proofs.md). Only ever appended to, like the rows.

-- What each leaf stands for. Without a foreign key: a leaf outlives its row.
CREATE TABLE audit_leaves (
    position BIGINT PRIMARY KEY CHECK (position >= 0),
    audit_id BIGINT NOT NULL CONSTRAINT audit_leaves_audit_id_key UNIQUE,
    leaf_hash BYTEA NOT NULL CHECK (octet_length(leaf_hash) = 32)
);

-- Every fourth level above the leaves; what lies between is hashed from it.
CREATE TABLE audit_nodes (
    level SMALLINT NOT NULL CHECK (level > 0 AND level % 4 = 0),
    position BIGINT NOT NULL CHECK (position >= 0),
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, position)
);

-- How far rows have their places: up to this row of this transaction. Only a help to find those that have none.
CREATE TABLE audit_watermark (
    id BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (id),
    xid XID8 NOT NULL,
    audit_id BIGINT NOT NULL,
    -- Whose numbers of transactions these are (pg_control_system): a dump that is brought to another server has others.
    server BIGINT NOT NULL
);

-- The order of the tree: rows of a transaction together, transactions by their number.
CREATE INDEX idx_audit_logs_leaf ON audit_logs (leaf_xid, id);

CREATE TRIGGER audit_leaves_append_only BEFORE UPDATE OR DELETE ON audit_leaves
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_leaves_never_truncated BEFORE TRUNCATE ON audit_leaves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_nodes_append_only BEFORE UPDATE OR DELETE ON audit_nodes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_nodes_never_truncated BEFORE TRUNCATE ON audit_nodes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON audit_leaves, audit_nodes TO meditrustal_api;
GRANT SELECT, INSERT, UPDATE (xid, audit_id, server) ON audit_watermark TO meditrustal_api;
