-- The newest current records of several patients, a page of each, in one statement: page_of_patients_created_descending.sql
-- without a filter. $1 and $2 the patients, each once, and which types of their records may be seen (NULL for all), $3 whether
-- restricted ones too, $4 and $5 the time and the id that each page goes on after, $6 how many it has; $7 whether the people who
-- are named by them come with it, $8 whether their anchors do. The first column says what a row is: 1 a record, 2 a person, 3 an
-- anchor. Records are put in order by the program: to sort rows as wide as these takes a fifth of the whole.
WITH found AS MATERIALIZED (
    SELECT
        record.id, record.patient_id, record.author_id, record.record_type, record.version,
        record.predecessor_id, record.superseded_at, record.withdrawn, record.record_metadata,
        record.missing_elements, record.data_hash, record.blockchain_record_id, record.restricted_at,
        record.erased_at, record.effective_at, record.created_at, record.updated_at,
        record.sealed_bytes
    FROM UNNEST($1::uuid[], $2::text[], $3::boolean[], $4::timestamptz[], $5::uuid[], $6::bigint[])
        AS page(patient_id, types, restricted, after_at, after_id, size)
    CROSS JOIN LATERAL (
        SELECT
            record.id, record.patient_id, record.author_id, record.record_type, record.version,
            record.predecessor_id, record.superseded_at, record.withdrawn, record.record_metadata,
            record.missing_elements, record.data_hash, record.blockchain_record_id, record.restricted_at,
            record.erased_at, record.effective_at, record.created_at, record.updated_at,
            octet_length(record.encrypted_data) AS sealed_bytes
        FROM medical_records AS record
        WHERE record.patient_id = page.patient_id
          AND (page.types IS NULL OR record.record_type = ANY(string_to_array(page.types, ',')))
          AND (page.restricted OR record.restricted_at IS NULL)
          AND (record.created_at, record.id)
              < (COALESCE(page.after_at, 'infinity'), COALESCE(page.after_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
          AND record.erased_at IS NULL
          AND record.superseded_at IS NULL
        ORDER BY record.created_at DESC, record.id DESC
        LIMIT page.size
    ) AS record
)
SELECT
    1 AS "part!",
    id, patient_id, author_id, record_type, version, predecessor_id, superseded_at, withdrawn, record_metadata,
    missing_elements, data_hash, blockchain_record_id, restricted_at, erased_at, effective_at, created_at, updated_at,
    sealed_bytes,
    NULL::varchar AS email, NULL::varchar AS username, NULL::varchar AS role, NULL::boolean AS is_active,
    NULL::varchar AS blockchain_address, NULL::uuid AS organization_id,
    NULL::varchar AS record_hash, NULL::varchar AS state, NULL::varchar AS tx_hash, NULL::varchar AS registrar,
    NULL::bigint AS block_number, NULL::varchar AS block_hash, NULL::bigint AS log_index, NULL::bigint AS sequence,
    NULL::timestamptz AS confirmed_at, NULL::timestamptz AS finalized_at,
    NULL::smallint AS closing_reason, NULL::varchar AS closing_state, NULL::varchar AS closing_tx_hash,
    NULL::varchar AS closed_by, NULL::bigint AS closing_block
FROM found
UNION ALL
SELECT
    2,
    person.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, person.created_at, NULL,
    NULL,
    person.email, person.username, person.role, person.is_active,
    person.blockchain_address, person.organization_id,
    NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL,
    NULL, NULL,
    NULL, NULL, NULL,
    NULL, NULL
FROM users AS person
WHERE $7::boolean
  AND person.id = ANY(ARRAY(SELECT patient_id FROM found UNION ALL SELECT author_id FROM found))
UNION ALL
SELECT
    3,
    anchor.record_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL,
    NULL, NULL, NULL, NULL,
    NULL, NULL,
    anchor.record_hash, anchor.state, anchor.tx_hash, anchor.registrar,
    anchor.block_number, anchor.block_hash, anchor.log_index, anchor.sequence,
    anchor.confirmed_at, anchor.finalized_at,
    closing.reason, closing.state, closing.tx_hash,
    closing.closed_by, closing.block_number
FROM record_anchors AS anchor
LEFT JOIN record_closings AS closing ON closing.record_id = anchor.record_id
WHERE $8::boolean
  AND anchor.record_id = ANY(ARRAY(SELECT id FROM found))
