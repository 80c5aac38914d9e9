-- The numbers of a page of the trail that goes back: the oldest rows after a number, oldest first. The conditions are those
-- of page.sql.
SELECT id
FROM audit_logs
WHERE id > $1
  AND ($2::uuid IS NULL OR user_id = $2)
  AND ($4::text[] IS NULL OR action_type = ANY ($4))
  AND ($5::uuid IS NULL OR patient_id = $5)
  AND ($6::boolean IS NULL OR (action_type <> 'ACCESS_DENIED') = $6)
  AND ($8::text IS NULL OR resource_type = $8)
  AND ($9::text IS NULL OR purpose = $9)
  AND ($10::uuid IS NULL OR consent_reference = $10)
  AND ($11::text IS NULL OR data_classification = $11)
  AND ($12::boolean IS NULL OR is_cross_border = $12)
  AND ($13::uuid IS NULL OR request_id = $13)
  AND ($14::timestamptz IS NULL OR event_time >= $14)
  AND ($15::timestamptz IS NULL OR event_time < $15)
  AND ($16::boolean IS NULL OR (
      action_type <> 'ACCESS_DENIED' AND consent_reference IS NULL AND purpose = ANY ($3::text[])
      -- A list that showed nothing disclosed nothing.
      AND (action_type = 'RECORD_SEARCH' AND record_ids IS NULL AND new_value ->> 'count' = '0'
           AND new_value ->> 'list' IS NULL) IS NOT TRUE
  ) = $16)
ORDER BY id
LIMIT $7
