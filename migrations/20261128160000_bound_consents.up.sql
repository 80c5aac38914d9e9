-- Lists are sets, no longer than what they can name; what is over costs a decision nothing.
CREATE FUNCTION is_set(list jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT count(*) = count(DISTINCT element) FROM jsonb_array_elements(list) AS element
$$;
REVOKE EXECUTE ON FUNCTION is_set(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_set(jsonb) TO meditrustal_api;

CREATE FUNCTION set_of(list jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_agg(element ORDER BY nth)
    FROM (
        SELECT element, min(nth) AS nth
        FROM jsonb_array_elements(list) WITH ORDINALITY AS e(element, nth)
        GROUP BY element
    ) AS elements
$$;

-- The rows there are keep their meaning: only what was said twice is said once. Nothing else was ever
-- changed in a consent, so the trigger that refuses it stands aside for this statement alone.
ALTER TABLE data_processing_consents DISABLE TRIGGER USER;
UPDATE data_processing_consents
SET data_categories = set_of(data_categories)
WHERE NOT is_set(data_categories);
UPDATE data_processing_consents
SET processing_activities = set_of(processing_activities)
WHERE NOT is_set(processing_activities);
UPDATE data_processing_consents
SET third_parties = set_of(third_parties)
WHERE NOT is_set(third_parties);
ALTER TABLE data_processing_consents ENABLE TRIGGER USER;
UPDATE data_deletion_requests
SET data_categories = set_of(data_categories)
WHERE NOT is_set(data_categories);
DROP FUNCTION set_of(jsonb);

ALTER TABLE data_processing_consents
    ADD CONSTRAINT data_processing_consents_categories_check
        CHECK (jsonb_array_length(data_categories) BETWEEN 1 AND 9 AND is_set(data_categories)),
    ADD CONSTRAINT data_processing_consents_activities_check
        CHECK (jsonb_array_length(processing_activities) BETWEEN 1 AND 7 AND is_set(processing_activities)),
    ADD CONSTRAINT data_processing_consents_grantees_check
        CHECK (jsonb_array_length(third_parties) <= 100 AND is_set(third_parties));
ALTER TABLE data_deletion_requests
    ADD CONSTRAINT data_deletion_requests_categories_check
        CHECK (jsonb_array_length(data_categories) BETWEEN 1 AND 9 AND is_set(data_categories));

-- A patient's consents that may be in force: however many were withdrawn or have ended, none of those is
-- looked at for a decision.
CREATE INDEX idx_data_processing_consents_open
    ON data_processing_consents (
        user_id,
        COALESCE(LEAST(consent_expires_at, consent_withdrawn_at), 'infinity'::timestamptz)
    );
-- A subject's requests that are open, to be counted.
CREATE INDEX idx_data_deletion_requests_open
    ON data_deletion_requests (user_id, requested_at, id)
    WHERE status NOT IN ('expired', 'rejected', 'cancelled', 'completed');
