CREATE OR REPLACE FUNCTION erase_records(request UUID, at_most INTEGER)
RETURNS TABLE (record_id UUID, is_current BOOLEAN)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    -- A record that is named stands for the versions after it, too, whenever they were written.
    WITH RECURSIVE named(id) AS (
        SELECT UNNEST(asked.approved_records) FROM data_deletion_requests AS asked WHERE asked.id = request
        UNION
        SELECT later.id FROM named JOIN medical_records AS later ON later.predecessor_id = named.id
    )
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
          AND (asked.approved_categories && ARRAY['ALL_RECORDS', due.record_type::text]
               OR due.id IN (SELECT named.id FROM named))
        ORDER BY due.id
        LIMIT at_most
    )
    RETURNING record.id, record.superseded_at IS NULL
$$;

DROP FUNCTION records_of_erasure(UUID);
DROP FUNCTION is_version_of(UUID, UUID[]);
