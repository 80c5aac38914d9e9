-- What the programs cannot read as a time, 'infinity' and years beyond 262142, no column holds: it would
-- stop whoever meets it.
DO $$
DECLARE
    change TEXT;
BEGIN
    FOR change IN
        SELECT format('ALTER TABLE %s ', attrelid::regclass) || string_agg(
            format(
                $check$ADD CONSTRAINT %I CHECK (%2$I > '-infinity' AND %2$I < '262143-01-01 00:00:00Z')$check$,
                relname || '_' || attname || '_bounded_check',
                attname
            ),
            ', ' ORDER BY attnum
        )
        FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace
          AND relkind = 'r'
          AND relname <> '_sqlx_migrations'
          AND atttypid = 'timestamptz'::regtype
        GROUP BY attrelid
    LOOP
        EXECUTE change;
    END LOOP;
END
$$;
