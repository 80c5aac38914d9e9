-- What was erased, and nothing of what it said: for whoever restores an older backup, in which it is there again. Each entry is
-- hashed together with the one before; the api keeps a file beside the database that holds the same
-- (docs/decisions/0056-erasure-ledger-and-my-data.md).
CREATE TABLE erasure_ledger (
    position BIGINT PRIMARY KEY CHECK (position > 0),
    entry_id UUID NOT NULL CONSTRAINT erasure_ledger_entry_id_key UNIQUE,
    -- The exact text that is hashed, JSON. It carries a seal over itself and the hash before: whoever can insert, and holds no
    -- master key, names nobody who is erased again.
    entry TEXT NOT NULL,
    -- SHA-256 of the hash before, a line feed and the entry; 64 zeros stand before the first.
    hash VARCHAR(64) NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    written_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT erasure_ledger_written_at_bounded_check
        CHECK (written_at > '-infinity' AND written_at < '262143-01-01 00:00:00Z')
);
CREATE TRIGGER erasure_ledger_append_only BEFORE UPDATE OR DELETE ON erasure_ledger
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erasure_ledger_never_truncated BEFORE TRUNCATE ON erasure_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON erasure_ledger TO meditrustal_api;
