-- page.sql, of the rows about one thing, or that name it among records. Those are found first, each way by its own index, and
-- then read one by one: a plan that walks the whole trail backwards until it has met enough of them cannot be chosen.
WITH named AS MATERIALIZED (
    SELECT id FROM audit_logs WHERE resource_id = $3::uuid AND id < $1
    UNION
    SELECT id FROM (SELECT id FROM audit_logs WHERE record_ids @> ARRAY[$3::uuid] AND id < $1 OFFSET 0) AS lists
),
read AS (
    SELECT
        named.id,
        event_time,
        CASE
            WHEN record_ids IS NOT NULL THEN record_ids
            WHEN resource_type = 'MEDICAL_RECORD' AND resource_id <> request_id THEN ARRAY[resource_id]
        END AS about,
        CASE WHEN new_value ->> 'times' ~ '^[0-9]{1,9}$' THEN (new_value ->> 'times')::bigint ELSE 1 END AS times,
        CASE WHEN $8 THEN ROW(
            (event_time AT TIME ZONE 'UTC')::date, user_id, on_behalf_of, action_type, resource_type, purpose,
            consent_reference, encryption_status, new_value ->> 'reason', new_value ->> 'withdrawn',
            new_value ->> 'table', new_value ->> 'wanted', new_value ->> 'stream' IS NOT NULL,
            action_type = 'RECORD_SEARCH' AND record_ids IS NULL AND new_value ->> 'count' = '0'
                AND new_value ->> 'list' IS NULL
        )::text ELSE named.id::text END AS said
    FROM named
    CROSS JOIN LATERAL (SELECT * FROM audit_logs AS one WHERE one.id = named.id OFFSET 0) AS log
    WHERE named.id < $1
      AND ($2::uuid IS NULL OR user_id = $2)
      AND ($4::text[] IS NULL OR action_type = ANY ($4))
      AND ($5::uuid IS NULL OR patient_id = $5)
      AND ($6::boolean IS NULL OR (action_type <> 'ACCESS_DENIED') = $6)
      AND ($10::text IS NULL OR resource_type = $10)
      AND ($11::text IS NULL OR purpose = $11)
      AND ($12::uuid IS NULL OR consent_reference = $12)
      AND ($13::text IS NULL OR data_classification = $13)
      AND ($14::boolean IS NULL OR is_cross_border = $14)
      AND ($15::uuid IS NULL OR request_id = $15)
      AND ($16::timestamptz IS NULL OR event_time >= $16)
      AND ($17::timestamptz IS NULL OR event_time < $17)
      AND ($18::boolean IS NULL OR (
          action_type <> 'ACCESS_DENIED' AND consent_reference IS NULL AND purpose = ANY ($19::text[])
          -- A list that showed nothing disclosed nothing.
          AND (action_type = 'RECORD_SEARCH' AND record_ids IS NULL AND new_value ->> 'count' = '0'
               AND new_value ->> 'list' IS NULL) IS NOT TRUE
      ) = $18)
      AND ($20::bigint[] IS NULL OR named.id = ANY ($20))
    ORDER BY named.id DESC
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
        run,
        max(id) AS newest,
        min(id) AS oldest,
        min(event_time) AS since,
        sum(times) AS times,
        bool_and(about IS NOT NULL) AS are_about_records,
        bool_or(is_cut) AS is_cut
    FROM numbered
    GROUP BY run
    ORDER BY newest DESC
    LIMIT $9
),
counted AS (
    SELECT run, count(DISTINCT record) AS records, min(record::text)::uuid AS record
    FROM numbered CROSS JOIN UNNEST(about) AS record
    GROUP BY run
)
SELECT
    told.oldest AS "oldest!",
    told.since AS "since!",
    told.times::bigint AS "times!",
    COALESCE(counted.records, 0) AS "records!",
    CASE WHEN told.are_about_records AND counted.records = 1 THEN counted.record END AS record,
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
    log.record_ids,
    log.on_behalf_of,
    (
        SELECT made.relationship
        FROM representatives AS made
        WHERE made.representative_id = log.user_id
          AND made.patient_id = log.on_behalf_of
          AND log.patient_id = log.on_behalf_of
          AND made.appointed_at <= log.event_time
        ORDER BY (made.id::text = log.new_value ->> 'representation') DESC NULLS LAST, made.appointed_at DESC, made.id DESC
        LIMIT 1
    ) AS relationship
FROM told
LEFT JOIN counted ON counted.run = told.run
JOIN audit_logs AS log ON log.id = told.newest
ORDER BY log.id DESC
