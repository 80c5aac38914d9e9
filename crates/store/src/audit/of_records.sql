-- Pages of the trail, one for each record, newest first; one row more than is asked for, to know whether there are older ones.
-- Each index gives its rows first: together they are few, and a walk along the primary key would read the whole table.
SELECT
    asked.nth AS "nth!",
    (CASE WHEN log.new_value ->> 'times' ~ '^[0-9]{1,9}$' THEN (log.new_value ->> 'times')::bigint ELSE 1 END) AS "times!",
    (CASE
        WHEN log.record_ids IS NOT NULL THEN (SELECT count(DISTINCT named) FROM UNNEST(log.record_ids) AS named)
        WHEN log.resource_type = 'MEDICAL_RECORD' AND log.resource_id <> log.request_id THEN 1
        ELSE 0
    END) AS "records!",
    CASE
        WHEN cardinality(log.record_ids) = 1 THEN log.record_ids[1]
        WHEN log.record_ids IS NULL AND log.resource_type = 'MEDICAL_RECORD' AND log.resource_id <> log.request_id
            THEN log.resource_id
    END AS record,
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
FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS asked(record_id, before, size, nth)
CROSS JOIN LATERAL (
    SELECT named.id
    FROM (
        (SELECT about.id
         FROM audit_logs AS about
         WHERE about.resource_id = asked.record_id AND about.patient_id = $4 AND about.id < asked.before
         ORDER BY about.id DESC
         LIMIT asked.size + 1)
        UNION
        (SELECT lists.id
         FROM (SELECT id, patient_id FROM audit_logs WHERE record_ids @> ARRAY[asked.record_id] OFFSET 0) AS lists
         WHERE lists.patient_id = $4 AND lists.id < asked.before
         ORDER BY lists.id DESC
         LIMIT asked.size + 1)
    ) AS named
    ORDER BY named.id DESC
    LIMIT asked.size + 1
) AS told
JOIN audit_logs AS log ON log.id = told.id
ORDER BY asked.nth, log.id DESC
