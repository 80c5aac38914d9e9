-- A page of the trail, newest first: rows, or runs of like rows, each told by its newest.
WITH read AS (
    SELECT *,
        CASE WHEN jsonb_typeof(new_value -> 'times') = 'number' THEN (new_value ->> 'times')::bigint
            ELSE 1 END AS times
    FROM audit_logs
    WHERE id < $1
      AND ($2::uuid IS NULL OR user_id = $2)
      AND ($3::uuid IS NULL OR resource_id = $3)
      AND ($4::text IS NULL OR action_type = $4)
      AND ($5::uuid IS NULL OR patient_id = $5)
      AND ($6::boolean IS NULL OR (action_type <> 'ACCESS_DENIED') = $6)
    ORDER BY id DESC
    LIMIT $7
),
compared AS (
    SELECT *,
        count(*) OVER () = $7 AS is_cut,
        lag(said) OVER (ORDER BY id DESC) IS DISTINCT FROM said AS begins
    FROM (
        SELECT *,
            CASE WHEN $8 THEN ROW(
                (event_time AT TIME ZONE 'UTC')::date, user_id, action_type, resource_type, purpose,
                consent_reference, encryption_status, new_value ->> 'reason', new_value ->> 'withdrawn',
                new_value ->> 'table'
            )::text ELSE id::text END AS said
        FROM read
    ) AS said
),
numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER (ORDER BY id DESC) AS run FROM compared
),
told AS (
    SELECT DISTINCT ON (run) *,
        min(id) OVER whole AS oldest,
        min(event_time) OVER whole AS since,
        sum(times) OVER whole AS times_in_all,
        min(resource_id::text) OVER whole = max(resource_id::text) OVER whole AS is_of_one
    FROM numbered
    WINDOW whole AS (PARTITION BY run)
    ORDER BY run, id DESC
)
SELECT
   oldest AS "oldest!",
   since AS "since!",
   times_in_all::bigint AS "times!",
   is_of_one AS "is_of_one!",
   is_cut AS "is_cut!",
   id,
   event_time,
   user_id,
   action_type,
   resource_type,
   resource_id,
   old_value,
   new_value,
   host(ip_address) AS "ip_address!",
   user_agent,
   request_id,
   purpose,
   consent_reference,
   EXTRACT(DAY FROM retention_period)::int AS "retention_days!",
   data_classification,
   is_cross_border,
   destination_country,
   encryption_status,
   created_at,
   patient_id
FROM told
ORDER BY id DESC
LIMIT $9
