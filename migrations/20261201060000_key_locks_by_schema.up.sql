-- Advisory locks and channels belong to a database, not to a schema: without these, tenants in two schemas of one database
-- would hold each other up (docs/decisions/0065-tenants-and-operations.md). In `public` both are as they were before, so
-- that programs of this version and of the one before exclude each other while they are replaced one by one.
DO $$
DECLARE
    key BIGINT := CASE current_schema() WHEN 'public' THEN 0 ELSE hashtextextended(current_schema(), 0) END;
    suffix TEXT := CASE current_schema() WHEN 'public' THEN '' ELSE '_' || to_hex(key) END;
BEGIN
    -- A constant, and immutable: the planner puts it in place of the call.
    EXECUTE format(
        'CREATE FUNCTION schema_key() RETURNS BIGINT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
        format('SELECT %L::bigint', key)
    );
    EXECUTE format(
        'CREATE FUNCTION notice_channel(name TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
        format('SELECT name || %L', suffix)
    );
END
$$;

REVOKE EXECUTE ON FUNCTION schema_key(), notice_channel(TEXT) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION schema_key(), notice_channel(TEXT)
    TO meditrustal_api, meditrustal_indexer, meditrustal_keys, meditrustal_backup;
