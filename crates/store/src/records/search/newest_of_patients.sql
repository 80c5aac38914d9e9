-- The newest current records of several patients, a page of each, in one statement: page_of_patients_created_descending.sql
-- without a filter. $1 and $2 the patients, each once, and which types of their records may be seen (NULL for all), $3 whether
-- restricted ones too, $4 and $5 the time and the id that each page goes on after, $6 how many it has.
SELECT
    record.id, record.patient_id, record.author_id, record.record_type, record.version,
    record.predecessor_id, record.superseded_at, record.withdrawn, record.record_metadata,
    record.missing_elements, record.data_hash, record.blockchain_record_id, record.restricted_at,
    record.erased_at, record.effective_at, record.created_at, record.updated_at,
    record.sealed_bytes AS "sealed_bytes!"
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
ORDER BY record.patient_id, record.created_at DESC, record.id DESC
