-- The time of a decision: read once in a transaction, by the clock and not from the transaction's begin, so
-- that it lies after the locks that the transaction waited for (docs/decisions/0031-a-withdrawal-is-a-barrier.md).
-- Whoever sets it by hand moves it no further than from the transaction's begin to now.
CREATE FUNCTION decision_time() RETURNS TIMESTAMP WITH TIME ZONE LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    said TEXT := current_setting('meditrustal.decision_time', TRUE);
BEGIN
    IF said IS NULL OR said = '' THEN
        said := set_config('meditrustal.decision_time', clock_timestamp()::text, TRUE);
    END IF;
    RETURN GREATEST(CURRENT_TIMESTAMP, LEAST(clock_timestamp(), said::timestamptz));
END
$$;
REVOKE ALL ON FUNCTION decision_time() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION decision_time() TO meditrustal_api, meditrustal_indexer, meditrustal_keys;

-- The columns keep the specification's default; what a row says is when it was decided and when it was written.
CREATE FUNCTION time_audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.event_time = CURRENT_TIMESTAMP THEN
        NEW.event_time := decision_time();
    END IF;
    IF NEW.created_at = CURRENT_TIMESTAMP THEN
        NEW.created_at := clock_timestamp();
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_logs_time BEFORE INSERT ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION time_audit_row();

-- A row that changed carries the time of the audit row that says so.
CREATE FUNCTION touch_decided_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := decision_time();
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER medical_records_touch_updated_at BEFORE UPDATE ON medical_records
    FOR EACH ROW EXECUTE FUNCTION touch_decided_at();
