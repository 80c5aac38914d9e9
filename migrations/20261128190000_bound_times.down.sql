DO $$
DECLARE
    change TEXT;
BEGIN
    FOR change IN
        SELECT format('ALTER TABLE %s ', conrelid::regclass)
            || string_agg(format('DROP CONSTRAINT %I', conname), ', ')
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
          AND contype = 'c'
          AND conname LIKE '%\_bounded\_check'
        GROUP BY conrelid
    LOOP
        EXECUTE change;
    END LOOP;
END
$$;
