-- What watches the database, and what keeps it in order (docs/decisions/0061-monitoring-and-maintenance.md).

-- When each part of the maintenance was last done, by the database's clock. `meditrustal maintain` goes by it.
CREATE TABLE maintenance_runs (
    task VARCHAR(20) NOT NULL CHECK (task IN ('VACUUM', 'ANALYZE', 'REINDEX', 'INDEX_USAGE')),
    -- The table, or the index that was rebuilt; empty for the report, which is about all of them.
    object_name VARCHAR(63) NOT NULL,
    -- When it last began; where it did not come to its end since, the first of these attempts.
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    -- When it last came to its end: before `started_at` while it is under way, and where it failed.
    finished_at TIMESTAMP WITH TIME ZONE,
    -- What the report says: for each index how often it was used, and its size.
    report JSONB,
    PRIMARY KEY (task, object_name),
    CONSTRAINT maintenance_runs_started_at_bounded_check
        CHECK (started_at > '-infinity' AND started_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT maintenance_runs_finished_at_bounded_check
        CHECK (finished_at > '-infinity' AND finished_at < '262143-01-01 00:00:00Z')
);
GRANT SELECT ON maintenance_runs TO meditrustal_api;

-- How many blocks were undone of late is asked every few seconds, and few ever are.
CREATE INDEX idx_chain_events_undone ON chain_events (chain_id, registry, undone_at) WHERE undone_at IS NOT NULL;

-- What every session of this database does now: who, for how long, in which state; not the text of the statement, which
-- could hold something of a person. pg_stat_activity shows a role its own sessions alone, so this belongs to a role that may
-- see all of them, and that nobody logs in as.
CREATE FUNCTION monitored_queries()
RETURNS TABLE (process_id INTEGER, seconds DOUBLE PRECISION, role_name TEXT, state TEXT, query_id BIGINT)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        activity.pid,
        EXTRACT(EPOCH FROM clock_timestamp() - activity.query_start)::double precision,
        activity.usename::text,
        activity.state,
        activity.query_id
    FROM pg_stat_activity AS activity
    WHERE activity.state <> 'idle'
      AND activity.query_start IS NOT NULL
      AND activity.pid <> pg_backend_pid()
      AND activity.datname = current_database()
      AND activity.backend_type = 'client backend'
$$;

DO $$
DECLARE
    here TEXT := current_schema();
BEGIN
    -- Who is to own something in a schema has to be able to make it there.
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO meditrustal_monitor', here);
    ALTER FUNCTION monitored_queries() OWNER TO meditrustal_monitor;
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM meditrustal_monitor', here);
END
$$;

REVOKE EXECUTE ON FUNCTION monitored_queries() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION monitored_queries() TO meditrustal_api;
