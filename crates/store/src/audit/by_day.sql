-- What was done with a patient's data, by day (UTC) and account, newest day first. Days are found one by one, from the newest
-- on, until they have as many accounts as the page: no row of an older day is read. $1 whose, $2 before which time, $3 and $4
-- the day and the account that the page goes on after, $5 one more than the page has, $6 the purposes of emergencies, $7 from when
-- on, $8 until when. The other conditions are those of page.sql: $9 by whom, $10 which actions, $11 what was allowed, $12 what was
-- an emergency.
WITH RECURSIVE days AS (
    SELECT newest.day, 0::bigint AS told
    FROM (
        SELECT date_trunc('day', event_time, 'UTC') AS day
        FROM audit_logs
        WHERE patient_id = $1
          AND event_time < LEAST($2::timestamptz, $8::timestamptz, 'infinity')
          AND event_time >= COALESCE($7::timestamptz, '-infinity')
        ORDER BY event_time DESC, id DESC
        LIMIT 1
    ) AS newest
    UNION ALL
    SELECT older.day, days.told + counted.accounts
    FROM days
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT user_id) AS accounts
        FROM audit_logs
        WHERE patient_id = $1
          AND event_time >= GREATEST(days.day, $7)
          AND event_time < LEAST(days.day + INTERVAL '24 hours', $8)
          AND (days.day IS DISTINCT FROM $3::timestamptz OR user_id > $4::uuid)
          AND ($9::uuid IS NULL OR user_id = $9)
          AND ($10::text[] IS NULL OR action_type = ANY ($10))
          AND ($11::boolean IS NULL OR (action_type <> 'ACCESS_DENIED') = $11)
          AND ($12::boolean IS NULL OR (
              action_type <> 'ACCESS_DENIED' AND consent_reference IS NULL AND purpose = ANY ($6::text[])
              AND (action_type = 'RECORD_SEARCH' AND record_ids IS NULL AND new_value ->> 'count' = '0'
                   AND new_value ->> 'list' IS NULL) IS NOT TRUE
          ) = $12)
    ) AS counted
    CROSS JOIN LATERAL (
        SELECT date_trunc('day', event_time, 'UTC') AS day
        FROM audit_logs
        WHERE patient_id = $1
          AND event_time < days.day
          AND event_time >= COALESCE($7, '-infinity')
        ORDER BY event_time DESC, id DESC
        LIMIT 1
    ) AS older
    WHERE days.told + counted.accounts < $5
),
found AS MATERIALIZED (
    SELECT
        days.day, log.user_id, log.event_time, log.action_type,
        CASE WHEN log.new_value ->> 'times' ~ '^[0-9]{1,9}$' THEN (log.new_value ->> 'times')::bigint ELSE 1 END AS times,
        CASE
            WHEN log.record_ids IS NOT NULL THEN log.record_ids
            WHEN log.resource_type = 'MEDICAL_RECORD' AND log.resource_id <> log.request_id THEN ARRAY[log.resource_id]
        END AS about,
        log.action_type <> 'ACCESS_DENIED' AND log.consent_reference IS NULL AND log.purpose = ANY ($6::text[])
            -- A list that showed nothing disclosed nothing.
            AND (log.action_type = 'RECORD_SEARCH' AND log.record_ids IS NULL AND log.new_value ->> 'count' = '0'
                 AND log.new_value ->> 'list' IS NULL) IS NOT TRUE AS is_emergency
    FROM days
    CROSS JOIN LATERAL (
        SELECT *
        FROM audit_logs
        WHERE patient_id = $1
          AND event_time >= GREATEST(days.day, $7)
          AND event_time < LEAST(days.day + INTERVAL '24 hours', $8)
          AND (days.day IS DISTINCT FROM $3::timestamptz OR user_id > $4::uuid)
          AND ($9 IS NULL OR user_id = $9)
          AND ($10 IS NULL OR action_type = ANY ($10))
          AND ($11 IS NULL OR (action_type <> 'ACCESS_DENIED') = $11)
        -- Day by day, by the index: joined, all rows of the patient would be read.
        OFFSET 0
    ) AS log
),
read AS (
    SELECT *
    FROM found
    WHERE $12 IS NULL OR is_emergency = $12
),
told AS (
    SELECT
        day, user_id,
        min(event_time) AS first_at,
        max(event_time) AS last_at,
        sum(times) FILTER (WHERE action_type = 'RECORD_READ') AS reads,
        sum(times) FILTER (WHERE action_type = 'RECORD_SEARCH') AS searches,
        sum(times) FILTER (WHERE action_type = 'ACCESS_DENIED') AS denials,
        sum(times) FILTER (WHERE is_emergency) AS emergencies,
        sum(times) AS times
    FROM read
    GROUP BY day, user_id
    ORDER BY day DESC, user_id
    LIMIT $5
),
counted AS (
    SELECT day, user_id, count(DISTINCT record) AS records
    FROM read
    JOIN told USING (day, user_id)
    CROSS JOIN UNNEST(about) AS record
    GROUP BY day, user_id
)
SELECT
    told.day AS "day!",
    told.user_id AS "user_id!",
    told.first_at AS "first_at!",
    told.last_at AS "last_at!",
    COALESCE(told.reads, 0)::bigint AS "reads!",
    COALESCE(told.searches, 0)::bigint AS "searches!",
    COALESCE(told.denials, 0)::bigint AS "denials!",
    COALESCE(told.emergencies, 0)::bigint AS "emergencies!",
    told.times::bigint AS "times!",
    COALESCE(counted.records, 0) AS "records!"
FROM told
LEFT JOIN counted USING (day, user_id)
ORDER BY told.day DESC, told.user_id
