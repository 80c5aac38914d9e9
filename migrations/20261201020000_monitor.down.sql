DROP FUNCTION monitored_queries();
DROP INDEX idx_chain_events_undone;
DROP TABLE maintenance_runs;
DO $$
BEGIN
    EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM meditrustal_monitor', current_schema());
END
$$;
