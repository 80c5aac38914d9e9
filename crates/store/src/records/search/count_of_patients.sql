-- How many records of some patients there are. $10 and $11 the patients and which types of their records may be seen
-- (NULL for all), $12 whether restricted ones too.
SELECT COALESCE(sum(mine.number), 0)::bigint AS "count!"
FROM UNNEST($10::uuid[], $11::text[]) AS visible(patient_id, types)
CROSS JOIN LATERAL (
    SELECT count(*) AS number
    FROM medical_records AS record
    WHERE record.patient_id = visible.patient_id
      AND (visible.types IS NULL OR record.record_type = ANY(string_to_array(visible.types, ',')))
      AND ($12 OR record.restricted_at IS NULL)
      -- The filter, $1 to $9.
      AND record.erased_at IS NULL
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
      -- What the filter implies, as the indexes know it.
      AND (COALESCE(record.effective_at, record.created_at)
          >= COALESCE($3::timestamptz - INTERVAL '366 days', '-infinity')
          OR record.record_metadata ? 'dateEnd')
) AS mine
