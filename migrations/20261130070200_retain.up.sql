-- What has been kept long enough, and how it goes (docs/decisions/0055-retention.md).

-- How long a record of a type is kept from the moment it was stored. The owner changes it: `meditrustal retention set`.
CREATE TABLE retention_rules (
    record_type VARCHAR(50) PRIMARY KEY CHECK (record_type IN (
        'DIAGNOSIS', 'LAB_RESULT', 'PRESCRIPTION', 'TREATMENT_PLAN', 'MEDICAL_HISTORY', 'VITAL_SIGNS', 'IMAGING',
        'VACCINATION'
    )),
    years INTEGER NOT NULL CHECK (years BETWEEN 1 AND 150)
);
-- domain::deletion::retention_years says the same.
INSERT INTO retention_rules (record_type, years) VALUES
    ('DIAGNOSIS', 15), ('LAB_RESULT', 10), ('IMAGING', 10), ('VITAL_SIGNS', 10), ('TREATMENT_PLAN', 20),
    ('PRESCRIPTION', 20), ('MEDICAL_HISTORY', 20), ('VACCINATION', 20);

-- Rows of the trail that were removed because they had been kept long enough: their leaves stay, and say nothing. The row
-- RETENTION_PURGE of the trail whose resource this is says how many there are, with a hash over them, and is signed.
CREATE TABLE audit_purged_leaves (
    position BIGINT PRIMARY KEY CHECK (position >= 0),
    audit_id BIGINT NOT NULL CONSTRAINT audit_purged_leaves_audit_id_key UNIQUE,
    purge_id UUID NOT NULL
);
CREATE INDEX idx_audit_purged_leaves_purge_id ON audit_purged_leaves (purge_id, position);
CREATE TRIGGER audit_purged_leaves_append_only BEFORE UPDATE OR DELETE ON audit_purged_leaves
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_purged_leaves_never_truncated BEFORE TRUNCATE ON audit_purged_leaves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Whose data was ever held.
CREATE INDEX idx_audit_logs_holds ON audit_logs (patient_id) WHERE action_type = 'HOLD_PLACE';
-- When a row's time is over, of those that are removed then: what is due stands at its beginning.
CREATE INDEX idx_audit_logs_due
    ON audit_logs ((((event_time AT TIME ZONE 'UTC') + retention_period) AT TIME ZONE 'UTC'), id)
    WHERE action_type NOT IN (
        'RETENTION_PURGE', 'RETENTION_RULE_SET', 'KEY_DESTROY', 'DELETION_COMPLETE', 'HOLD_PLACE', 'HOLD_RELEASE',
        'BREAK_GLASS_REVIEW'
    );
-- The records that can become due, by type and age.
CREATE INDEX idx_medical_records_due ON medical_records (record_type, created_at)
    WHERE superseded_at IS NULL AND erased_at IS NULL AND restricted_at IS NULL;

-- The records of a patient that have been kept long enough, each with the last version of its line. A line goes as a whole,
-- when its last version is due; one that a hold covers, or whose reading is restricted, stays.
CREATE FUNCTION due_records(of_patient UUID, after_line UUID, at_most INTEGER)
RETURNS TABLE (record_id UUID, record_type VARCHAR(50), line_id UUID)
LANGUAGE sql AS $$
    WITH RECURSIVE line(last, id, predecessor_id, type, restricted_at, erased_at) AS (
        SELECT record.id, record.id, record.predecessor_id, record.record_type, record.restricted_at, record.erased_at
        FROM medical_records AS record
        JOIN retention_rules AS rule ON rule.record_type = record.record_type
        WHERE record.patient_id = of_patient
          AND record.superseded_at IS NULL
          AND record.erased_at IS NULL
          AND record.created_at + make_interval(years => rule.years) <= (SELECT decision_time())
          AND record.id > after_line
        UNION
        SELECT line.last, earlier.id, earlier.predecessor_id, earlier.record_type, earlier.restricted_at, earlier.erased_at
        FROM line
        JOIN medical_records AS earlier ON earlier.id = line.predecessor_id
    ),
    -- A hold names versions, and means their lines.
    kept(last) AS (
        SELECT line.last
        FROM line
        LEFT JOIN legal_holds AS hold
          ON hold.patient_id = of_patient
         AND hold.released_at IS NULL
         AND (hold.data_categories ?| ARRAY['ALL_RECORDS', line.type::text] OR line.id = ANY(hold.record_ids))
        WHERE hold.id IS NOT NULL OR line.restricted_at IS NOT NULL
    ),
    due(last) AS (
        SELECT DISTINCT line.last FROM line
        WHERE NOT EXISTS (SELECT FROM kept WHERE kept.last = line.last)
        ORDER BY line.last
        LIMIT at_most
    )
    SELECT line.id, line.type, line.last
    FROM line
    JOIN due ON due.last = line.last
    WHERE line.erased_at IS NULL
    ORDER BY line.last, line.id
$$;

-- The rows of the trail that have been kept long enough: their leaves lie under a checkpoint that is pinned, and nothing goes
-- by them any more. store::retention::audit_rows_needed says the same of what goes by them, and is not to be replaced in here.
CREATE VIEW audit_rows_due AS
SELECT log.id, ((log.event_time AT TIME ZONE 'UTC') + log.retention_period) AT TIME ZONE 'UTC' AS due_at, leaf.position
FROM audit_logs AS log
JOIN audit_leaves AS leaf ON leaf.audit_id = log.id
WHERE ((log.event_time AT TIME ZONE 'UTC') + log.retention_period) AT TIME ZONE 'UTC' <= (SELECT decision_time())
  AND leaf.position < (SELECT max(tree_size) FROM audit_checkpoints WHERE state = 'ANCHORED')
  -- What proves an erasure, a hold, a rule or an earlier purge stays.
  AND log.action_type NOT IN (
      'RETENTION_PURGE', 'RETENTION_RULE_SET', 'KEY_DESTROY', 'DELETION_COMPLETE', 'HOLD_PLACE', 'HOLD_RELEASE',
      'BREAK_GLASS_REVIEW'
  )
  -- What somebody named as removed and did not remove.
  AND NOT EXISTS (SELECT FROM audit_purged_leaves AS named WHERE named.audit_id = log.id)
  AND NOT EXISTS (SELECT FROM audit_purged_leaves AS named WHERE named.position = leaf.position)
  -- Whose data is held, be it that the row is about them, by them or on their behalf: by the rows of holds, and by the trail,
  -- which knows also one whose row is gone.
  AND NOT EXISTS (
      SELECT FROM legal_holds AS hold
      WHERE hold.patient_id IN (log.patient_id, log.user_id, log.on_behalf_of)
        AND hold.released_at IS NULL
  )
  AND NOT EXISTS (
      SELECT FROM audit_logs AS placed
      WHERE placed.patient_id IN (log.patient_id, log.user_id, log.on_behalf_of)
        AND placed.action_type = 'HOLD_PLACE'
        AND NOT EXISTS (
            SELECT FROM audit_logs AS released
            WHERE released.resource_id = placed.resource_id
              AND released.action_type = 'HOLD_RELEASE'
              AND released.new_value ->> 'released' = 'true'
        )
  )
  -- By what a record that changed is believed.
  AND NOT (
      log.patient_id IS NOT NULL
      AND log.action_type NOT IN (
          'RECORD_READ', 'RECORD_SEARCH', 'RECORD_VERIFY', 'RECORD_EXPORT', 'ACCESS_DENIED', 'INTEGRITY_FAILURE'
      )
      AND EXISTS (
          SELECT FROM medical_records AS record
          WHERE record.patient_id = log.patient_id
            AND (record.updated_at <> record.created_at OR record.restricted_at IS NOT NULL OR record.erased_at IS NOT NULL)
            AND log.event_time IN (record.updated_at, record.restricted_at, record.erased_at)
      )
  )
  -- What was agreed to, or taken back, goes when the consent is there and its end has come: without the row, it could be put back.
  AND (
      log.action_type NOT IN ('CONSENT_GRANT', 'CONSENT_WITHDRAW')
      OR EXISTS (
          SELECT FROM data_processing_consents AS consent
          WHERE consent.id = log.resource_id AND consent.consent_expires_at <= (SELECT decision_time())
      )
  )
  -- Who approved what goes when the request is there and over. Who read of it proves nothing of it.
  AND (
      log.action_type NOT LIKE 'DELETION\_%'
      OR log.action_type = 'DELETION_READ'
      OR EXISTS (
          SELECT FROM data_deletion_requests AS request
          WHERE request.id = log.resource_id
            AND request.status IN ('expired', 'rejected', 'cancelled', 'completed')
      )
  )
  -- By what the end of a representation, or of a membership, holds: such a row goes when its row is there and its time is over.
  -- Without it, the row from before the end could be put back.
  AND (
      log.action_type NOT IN ('REPRESENTATIVE_APPOINT', 'REPRESENTATIVE_END')
      OR EXISTS (
          SELECT FROM representatives AS representation
          WHERE representation.id = log.resource_id AND representation.valid_until <= (SELECT decision_time())
      )
  )
  AND (
      log.action_type NOT IN ('MEMBERSHIP_ADD', 'MEMBERSHIP_END')
      OR EXISTS (
          SELECT FROM memberships AS membership
          WHERE membership.id = log.resource_id AND membership.valid_until <= (SELECT decision_time())
      )
  );

-- Retention alone removes rows of the trail, as a role of its own that nobody logs in as.
DROP TRIGGER audit_logs_append_only ON audit_logs;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW WHEN (current_user <> 'meditrustal_retention') EXECUTE FUNCTION refuse_change();
GRANT SELECT (id, action_type, resource_type, resource_id, new_value, leaf_xid), DELETE ON audit_logs TO meditrustal_retention;
GRANT SELECT ON audit_rows_due, audit_leaves TO meditrustal_retention;
GRANT SELECT, INSERT ON audit_purged_leaves TO meditrustal_retention;
GRANT EXECUTE ON FUNCTION decision_time() TO meditrustal_retention;

-- Names rows as removed by a purge, and removes them: those that are due, of a purge that the trail tells of since this
-- transaction, with exactly these rows.
CREATE FUNCTION remove_audit_rows(purge UUID, positions BIGINT[], ids BIGINT[]) RETURNS BIGINT
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    hashed TEXT;
    removed BIGINT;
BEGIN
    IF EXISTS (SELECT FROM audit_purged_leaves WHERE purge_id = purge) THEN
        RAISE EXCEPTION 'this purge was made before' USING ERRCODE = 'unique_violation';
    END IF;
    SELECT encode(sha256(string_agg(int8send(leaf.position) || leaf.leaf_hash, ''::bytea ORDER BY leaf.position)), 'hex')
    INTO hashed
    FROM UNNEST(positions, ids) AS named(position, id)
    JOIN audit_leaves AS leaf ON leaf.position = named.position AND leaf.audit_id = named.id;
    IF NOT EXISTS (
        SELECT FROM audit_logs AS said
        WHERE said.resource_id = purge
          AND said.resource_type = 'AUDIT_LOG'
          AND said.action_type = 'RETENTION_PURGE'
          AND said.leaf_xid = pg_current_xact_id()
          AND said.new_value ->> 'rows' = cardinality(ids)::text
          AND said.new_value ->> 'digest' = hashed
    ) THEN
        RAISE EXCEPTION 'the audit trail says nothing of this purge' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO audit_purged_leaves (position, audit_id, purge_id)
    SELECT due.position, due.id, purge
    FROM UNNEST(positions, ids) AS named(position, id)
    JOIN audit_rows_due AS due ON due.id = named.id AND due.position = named.position;
    DELETE FROM audit_logs WHERE id IN (SELECT audit_id FROM audit_purged_leaves WHERE purge_id = purge);
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed <> cardinality(ids) THEN
        RAISE EXCEPTION 'some of these rows are not due' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN removed;
END
$$;

-- What erases records whose time is over, of the lines that are named; the api's role changes no envelope.
CREATE FUNCTION purge_records(of_patient UUID, after_line UUID, at_most INTEGER, lines UUID[])
RETURNS TABLE (record_id UUID, record_type VARCHAR(50), line_id UUID)
LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE medical_records AS record
    SET encrypted_data = '\x',
        record_metadata = NULL,
        code_tokens = NULL,
        missing_elements = NULL,
        effective_at = NULL,
        erased_at = decision_time()
    FROM due_records(of_patient, after_line, at_most) AS due
    WHERE record.id = due.record_id AND due.line_id = ANY(lines)
    RETURNING record.id, record.record_type, due.line_id
$$;

DO $$
DECLARE
    here TEXT := current_schema();
BEGIN
    EXECUTE format('ALTER FUNCTION remove_audit_rows(UUID, BIGINT[], BIGINT[]) SET search_path = %I, pg_temp', here);
    EXECUTE format('ALTER FUNCTION purge_records(UUID, UUID, INTEGER, UUID[]) SET search_path = %I, pg_temp', here);
    -- Who is to own something in a schema has to be able to make it there.
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO meditrustal_retention', here);
    ALTER FUNCTION remove_audit_rows(UUID, BIGINT[], BIGINT[]) OWNER TO meditrustal_retention;
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM meditrustal_retention', here);
END
$$;

REVOKE EXECUTE
    ON FUNCTION remove_audit_rows(UUID, BIGINT[], BIGINT[]), purge_records(UUID, UUID, INTEGER, UUID[]),
        due_records(UUID, UUID, INTEGER)
    FROM PUBLIC;
GRANT EXECUTE
    ON FUNCTION remove_audit_rows(UUID, BIGINT[], BIGINT[]), purge_records(UUID, UUID, INTEGER, UUID[]),
        due_records(UUID, UUID, INTEGER)
    TO meditrustal_api;
GRANT SELECT ON retention_rules, audit_rows_due TO meditrustal_api;
GRANT SELECT ON audit_purged_leaves TO meditrustal_api;
