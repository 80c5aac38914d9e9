-- A page of the trail, newest first: rows, or runs of like rows, each told by its newest. One row more than
-- may be told is read, to know whether there are older ones.
WITH read AS (
    SELECT
        id,
        event_time,
        resource_id,
        CASE WHEN new_value ->> 'times' ~ '^[0-9]{1,9}$' THEN (new_value ->> 'times')::bigint ELSE 1 END AS times,
        CASE WHEN $8 THEN ROW(
            (event_time AT TIME ZONE 'UTC')::date, user_id, action_type, resource_type, purpose,
            consent_reference, encryption_status, new_value ->> 'reason', new_value ->> 'withdrawn',
            new_value ->> 'table', new_value ->> 'wanted'
        )::text ELSE id::text END AS said
    FROM audit_logs
    WHERE id < $1
      AND ($2::uuid IS NULL OR user_id = $2)
      AND ($3::uuid IS NULL OR resource_id = $3 OR record_ids @> ARRAY[$3])
      AND ($4::text IS NULL OR action_type = $4)
      AND ($5::uuid IS NULL OR patient_id = $5)
      AND ($6::boolean IS NULL OR (action_type <> 'ACCESS_DENIED') = $6)
    ORDER BY id DESC
    LIMIT $7
),
compared AS (
    SELECT *,
        row_number() OVER (ORDER BY id DESC) AS nth,
        count(*) OVER () = $7 AS is_cut,
        lag(said) OVER (ORDER BY id DESC) IS DISTINCT FROM said AS begins
    FROM read
),
numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER (ORDER BY id DESC) AS run
    FROM compared
    WHERE nth < $7
),
told AS (
    SELECT
        max(id) AS newest,
        min(id) AS oldest,
        min(event_time) AS since,
        sum(times) AS times,
        count(DISTINCT resource_id) = 1 AS is_of_one,
        bool_or(is_cut) AS is_cut
    FROM numbered
    GROUP BY run
    ORDER BY newest DESC
    LIMIT $9
)
SELECT
    told.oldest AS "oldest!",
    told.since AS "since!",
    told.times::bigint AS "times!",
    told.is_of_one AS "is_of_one!",
    told.is_cut AS "is_cut!",
    log.id AS "id!",
    log.event_time AS "event_time!",
    log.user_id AS "user_id!",
    log.action_type AS "action_type!",
    log.resource_type AS "resource_type!",
    log.resource_id AS "resource_id!",
    log.old_value,
    log.new_value,
    host(log.ip_address) AS "ip_address!",
    log.user_agent,
    log.request_id AS "request_id!",
    log.purpose AS "purpose!",
    log.consent_reference,
    EXTRACT(DAY FROM log.retention_period)::int AS "retention_days!",
    log.data_classification AS "data_classification!",
    log.is_cross_border AS "is_cross_border!",
    log.destination_country,
    log.encryption_status AS "encryption_status!",
    log.created_at AS "created_at!",
    log.patient_id,
    log.record_ids
FROM told
JOIN audit_logs AS log ON log.id = told.newest
ORDER BY log.id DESC
