-- A record that is named stands for the versions after it, however many there are.
CREATE FUNCTION is_version_of(record UUID, named UUID[]) RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
    WITH RECURSIVE earlier(id, predecessor_id) AS (
        SELECT medical_records.id, medical_records.predecessor_id
        FROM medical_records
        WHERE medical_records.id = record
        UNION
        SELECT before.id, before.predecessor_id
        FROM earlier
        JOIN medical_records AS before ON before.id = earlier.predecessor_id
    )
    SELECT EXISTS (SELECT FROM earlier WHERE earlier.id = ANY(named))
$$;

-- What a request erases: what it names, with every version after it, and, of the types that it names, what was there when
-- it began or was decided last. What is stored afterwards stays.
CREATE FUNCTION records_of_erasure(request UUID) RETURNS SETOF UUID LANGUAGE sql STABLE AS $$
    WITH RECURSIVE covered(id) AS (
        (
            SELECT named.id
            FROM data_deletion_requests AS asked, UNNEST(asked.approved_records) AS named(id)
            WHERE asked.id = request
            UNION
            SELECT record.id
            FROM data_deletion_requests AS asked
            JOIN medical_records AS record ON record.patient_id = asked.user_id
            WHERE asked.id = request
              AND asked.approved_categories && ARRAY['ALL_RECORDS', record.record_type::text]
              AND (
                  asked.request_type = 'ACCOUNT_ERASURE'
                  OR record.created_at <= GREATEST(
                      asked.approved_at,
                      (SELECT begun.done_at FROM deletion_steps AS begun
                       WHERE begun.request_id = request AND begun.step = 'BEGIN')
                  )
              )
        )
        UNION
        SELECT later.id
        FROM covered
        JOIN medical_records AS later ON later.predecessor_id = covered.id
    )
    SELECT record.id
    FROM covered
    JOIN medical_records AS record ON record.id = covered.id
    JOIN data_deletion_requests AS asked ON asked.id = request AND asked.user_id = record.patient_id
$$;

CREATE OR REPLACE FUNCTION erase_records(request UUID, at_most INTEGER)
RETURNS TABLE (record_id UUID, is_current BOOLEAN)
LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE medical_records AS record
    SET encrypted_data = '\x',
        record_metadata = NULL,
        code_tokens = NULL,
        missing_elements = NULL,
        effective_at = NULL,
        erased_at = decision_time()
    WHERE record.id IN (
        SELECT due.id
        FROM medical_records AS due
        JOIN data_deletion_requests AS asked ON asked.user_id = due.patient_id
        WHERE asked.id = request
          AND asked.status = 'executing'
          AND asked.request_type <> 'RESTRICTION'
          -- Whatever is left (`store::deletion::execution::left`): also what somebody put back.
          AND (due.erased_at IS NULL OR octet_length(due.encrypted_data) > 0
               OR due.record_metadata IS NOT NULL OR due.code_tokens IS NOT NULL
               OR due.missing_elements IS NOT NULL OR due.effective_at IS NOT NULL)
          AND due.id IN (SELECT records_of_erasure(request))
        ORDER BY due.id
        LIMIT at_most
    )
    RETURNING record.id, record.superseded_at IS NULL
$$;

-- With the rights of its owner it finds nothing but what is in this schema.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION erase_records(UUID, INTEGER) SET search_path = %I, pg_temp', current_schema());
END
$$;

REVOKE EXECUTE ON FUNCTION is_version_of(UUID, UUID[]), records_of_erasure(UUID) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_version_of(UUID, UUID[]), records_of_erasure(UUID) TO meditrustal_api;
GRANT EXECUTE ON FUNCTION is_version_of(UUID, UUID[]) TO meditrustal_keys;
