-- A page of everybody's records that the caller may search. $15 whether they search their own, $16 who they are, $17 of
-- which patient alone, $18 of which types, $19 and $20 the time and the id that the page goes on after, $21 how many.
SELECT
    record.id AS "id!", record.patient_id AS "patient_id!", record.author_id, record.record_type AS "record_type!",
    record.version AS "version!", record.predecessor_id, record.superseded_at, record.withdrawn AS "withdrawn!",
    record.record_metadata, record.missing_elements, record.data_hash AS "data_hash!",
    record.blockchain_record_id AS "blockchain_record_id!", record.restricted_at, record.erased_at,
    record.effective_at, record.created_at AS "created_at!", record.updated_at AS "updated_at!",
    record.sealed_bytes AS "sealed_bytes!"
FROM (
    -- What began less than a year before $3 or since: an index bounds it.
    (
        SELECT
            record.id, record.patient_id, record.author_id, record.record_type, record.version,
            record.predecessor_id, record.superseded_at, record.withdrawn, record.record_metadata,
            record.missing_elements, record.data_hash, record.blockchain_record_id, record.restricted_at,
            record.erased_at, record.effective_at, record.created_at, record.updated_at,
            octet_length(record.encrypted_data) AS sealed_bytes
        FROM medical_records AS record
        WHERE
          -- The filter, $1 to $9.
          record.erased_at IS NULL
          AND record.created_at >= COALESCE($1::timestamptz, '-infinity')
          AND record.created_at < COALESCE($2::timestamptz, 'infinity')
          -- What is dated by a year, a month or a day was so until its end, and a period until that of its last day.
          AND ($3::timestamptz IS NULL OR COALESCE(record.effective_at, record.created_at) >= $3
              OR (record.effective_at AT TIME ZONE 'UTC') + CASE length(record.record_metadata ->> 'date')
                  WHEN 4 THEN INTERVAL '1 year'
                  WHEN 7 THEN INTERVAL '1 month'
                  WHEN 10 THEN CASE WHEN record.effective_at = date_trunc('day', record.effective_at, 'UTC')
                      THEN INTERVAL '1 day' END
                  END > $3 AT TIME ZONE 'UTC'
              OR (record.record_metadata ->> 'dateEnd') COLLATE "C"
                  >= left(to_char(LEAST($3, '9999-12-31Z') AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
                      length(record.record_metadata ->> 'dateEnd')))
          AND COALESCE(record.effective_at, record.created_at) < COALESCE($4::timestamptz, 'infinity')
          AND ($5::uuid IS NULL OR record.author_id = $5)
          AND ($6::boolean IS NULL OR (record.missing_elements IS NULL) = $6)
          AND ($7::jsonb IS NULL OR record.record_metadata @> $7)
          AND ($8::bytea[] IS NULL OR record.code_tokens && $8)
          AND ($9 OR record.superseded_at IS NULL)
          -- End of the filter.
          AND COALESCE(record.effective_at, record.created_at) >= COALESCE($3::timestamptz - INTERVAL '366 days', '-infinity')
          AND ($17::uuid IS NULL OR record.patient_id = $17)
          AND ($18::text[] IS NULL OR record.record_type = ANY($18))
          AND (record.created_at, record.id)
              > (COALESCE($19::timestamptz, '-infinity'), COALESCE($20::uuid, '00000000-0000-0000-0000-000000000000'))
          AND CASE WHEN $15 THEN record.patient_id = $16
              ELSE record.restricted_at IS NULL AND
                  -- The rule of `domain::access::decide` for SEARCH: a consent lets the caller in, and no refusal keeps them out.
                  -- $10 purposes that cover this one; $11 whom consents name that let the caller in, $12 those that do if they allow
                  -- TRANSFER, $13 whom refusals name that keep the caller out (`consents::named`); $14 when it is decided: a replica's clock is
                  -- not the primary's.
                  EXISTS (
                      SELECT FROM data_processing_consents AS consent
                      WHERE consent.user_id = record.patient_id
                        AND consent.purpose = ANY($10)
                        AND is_in_force(
                            consent.consent_given_at, consent.consent_expires_at, consent.consent_withdrawn_at,
                            $14::timestamptz)
                        AND (consent.data_categories ? 'ALL_RECORDS' OR consent.data_categories ? record.record_type)
                        AND consent.processing_activities ? 'SEARCH'
                        AND NOT consent.processing_activities ? 'DENY'
                        AND (consent.third_parties @> ANY($11)
                            OR consent.third_parties @> ANY($12) AND consent.processing_activities ? 'TRANSFER')
                  )
                  AND NOT EXISTS (
                      SELECT FROM data_processing_consents AS refusal
                      WHERE refusal.user_id = record.patient_id
                        AND refusal.purpose = ANY($10)
                        AND is_in_force(
                            refusal.consent_given_at, refusal.consent_expires_at, refusal.consent_withdrawn_at,
                            $14::timestamptz)
                        AND (refusal.data_categories ? 'ALL_RECORDS' OR refusal.data_categories ? record.record_type)
                        AND refusal.processing_activities ? 'DENY'
                        AND (COALESCE(refusal.third_parties, '[]') = '[]'
                            OR refusal.third_parties @> ANY($13))
                  )
                  -- End of the rule.
              END
        ORDER BY record.created_at ASC, record.id ASC
        LIMIT $21
    )
    UNION ALL
    -- Periods that began before that: an index has them alone. None where there is no $3.
    (
        SELECT
            record.id, record.patient_id, record.author_id, record.record_type, record.version,
            record.predecessor_id, record.superseded_at, record.withdrawn, record.record_metadata,
            record.missing_elements, record.data_hash, record.blockchain_record_id, record.restricted_at,
            record.erased_at, record.effective_at, record.created_at, record.updated_at,
            octet_length(record.encrypted_data) AS sealed_bytes
        FROM medical_records AS record
        WHERE
          -- The filter, $1 to $9.
          record.erased_at IS NULL
          AND record.created_at >= COALESCE($1::timestamptz, '-infinity')
          AND record.created_at < COALESCE($2::timestamptz, 'infinity')
          -- What is dated by a year, a month or a day was so until its end, and a period until that of its last day.
          AND ($3::timestamptz IS NULL OR COALESCE(record.effective_at, record.created_at) >= $3
              OR (record.effective_at AT TIME ZONE 'UTC') + CASE length(record.record_metadata ->> 'date')
                  WHEN 4 THEN INTERVAL '1 year'
                  WHEN 7 THEN INTERVAL '1 month'
                  WHEN 10 THEN CASE WHEN record.effective_at = date_trunc('day', record.effective_at, 'UTC')
                      THEN INTERVAL '1 day' END
                  END > $3 AT TIME ZONE 'UTC'
              OR (record.record_metadata ->> 'dateEnd') COLLATE "C"
                  >= left(to_char(LEAST($3, '9999-12-31Z') AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
                      length(record.record_metadata ->> 'dateEnd')))
          AND COALESCE(record.effective_at, record.created_at) < COALESCE($4::timestamptz, 'infinity')
          AND ($5::uuid IS NULL OR record.author_id = $5)
          AND ($6::boolean IS NULL OR (record.missing_elements IS NULL) = $6)
          AND ($7::jsonb IS NULL OR record.record_metadata @> $7)
          AND ($8::bytea[] IS NULL OR record.code_tokens && $8)
          AND ($9 OR record.superseded_at IS NULL)
          -- End of the filter.
          AND $3::timestamptz IS NOT NULL
          AND COALESCE(record.effective_at, record.created_at) < $3::timestamptz - INTERVAL '366 days'
          AND record.record_metadata ? 'dateEnd'
          AND ($17::uuid IS NULL OR record.patient_id = $17)
          AND ($18::text[] IS NULL OR record.record_type = ANY($18))
          AND (record.created_at, record.id)
              > (COALESCE($19::timestamptz, '-infinity'), COALESCE($20::uuid, '00000000-0000-0000-0000-000000000000'))
          AND CASE WHEN $15 THEN record.patient_id = $16
              ELSE record.restricted_at IS NULL AND
                  -- The rule of `domain::access::decide` for SEARCH: a consent lets the caller in, and no refusal keeps them out.
                  -- $10 purposes that cover this one; $11 whom consents name that let the caller in, $12 those that do if they allow
                  -- TRANSFER, $13 whom refusals name that keep the caller out (`consents::named`); $14 when it is decided: a replica's clock is
                  -- not the primary's.
                  EXISTS (
                      SELECT FROM data_processing_consents AS consent
                      WHERE consent.user_id = record.patient_id
                        AND consent.purpose = ANY($10)
                        AND is_in_force(
                            consent.consent_given_at, consent.consent_expires_at, consent.consent_withdrawn_at,
                            $14::timestamptz)
                        AND (consent.data_categories ? 'ALL_RECORDS' OR consent.data_categories ? record.record_type)
                        AND consent.processing_activities ? 'SEARCH'
                        AND NOT consent.processing_activities ? 'DENY'
                        AND (consent.third_parties @> ANY($11)
                            OR consent.third_parties @> ANY($12) AND consent.processing_activities ? 'TRANSFER')
                  )
                  AND NOT EXISTS (
                      SELECT FROM data_processing_consents AS refusal
                      WHERE refusal.user_id = record.patient_id
                        AND refusal.purpose = ANY($10)
                        AND is_in_force(
                            refusal.consent_given_at, refusal.consent_expires_at, refusal.consent_withdrawn_at,
                            $14::timestamptz)
                        AND (refusal.data_categories ? 'ALL_RECORDS' OR refusal.data_categories ? record.record_type)
                        AND refusal.processing_activities ? 'DENY'
                        AND (COALESCE(refusal.third_parties, '[]') = '[]'
                            OR refusal.third_parties @> ANY($13))
                  )
                  -- End of the rule.
              END
        ORDER BY record.created_at ASC, record.id ASC
        LIMIT $21
    )
) AS record
ORDER BY record.created_at ASC, record.id ASC
LIMIT $21
