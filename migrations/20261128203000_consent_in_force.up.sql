-- The one rule of when a consent is in force. An expression without a query, so that the planner puts it in the place
-- of the call, and the index `idx_data_processing_consents_open` serves it.
CREATE FUNCTION is_in_force(
    given_at timestamptz, expires_at timestamptz, withdrawn_at timestamptz, at timestamptz
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT given_at <= at AND COALESCE(LEAST(expires_at, withdrawn_at), 'infinity'::timestamptz) > at
$$;
REVOKE EXECUTE ON FUNCTION is_in_force(timestamptz, timestamptz, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_in_force(timestamptz, timestamptz, timestamptz, timestamptz) TO meditrustal_api;
