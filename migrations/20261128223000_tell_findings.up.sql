-- Where the feed told that a finding of this record was opened: none for one that was written by somebody else. A query
-- alone, stable and not strict, so that the planner puts it in the place of the call.
CREATE FUNCTION told_of(finding_id uuid, record_id uuid)
RETURNS SETOF bigint LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT told.position
    FROM integrity_feed AS told
    WHERE told.finding_id = $1
      AND told.record_id IS NOT DISTINCT FROM $2
      AND told.kind = 'FINDING_OPENED'
$$;
REVOKE EXECUTE ON FUNCTION told_of(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION told_of(uuid, uuid) TO meditrustal_api, meditrustal_indexer;

CREATE INDEX idx_integrity_feed_finding_id ON integrity_feed (finding_id) WHERE finding_id IS NOT NULL;
