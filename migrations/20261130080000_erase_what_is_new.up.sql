-- What the trail says of representations and memberships stays as long as they could be put back; what they, and receipts of
-- consents, say of somebody goes with the account (docs/decisions/0046-erasures.md).

CREATE OR REPLACE VIEW audit_rows_due AS
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
  -- Whose data is held, be it that the row is about them, by them or on their behalf (a column that a later migration adds): by
  -- the rows of holds, and by the trail, which knows also one whose row is gone.
  AND NOT EXISTS (
      SELECT FROM legal_holds AS hold
      WHERE hold.patient_id IN (log.patient_id, log.user_id, (to_jsonb(log) ->> 'on_behalf_of')::uuid)
        AND hold.released_at IS NULL
  )
  AND NOT EXISTS (
      SELECT FROM audit_logs AS placed
      WHERE placed.patient_id IN (log.patient_id, log.user_id, (to_jsonb(log) ->> 'on_behalf_of')::uuid)
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

-- A receipt of nobody: what the registry of consents knows it by stays, and says nothing without the text and its salt. Whoever
-- empties one seals it anew.
CREATE FUNCTION empty_receipts(of_user UUID) RETURNS BIGINT
LANGUAGE sql AS $$
    WITH emptied AS (
        UPDATE consent_receipts
        SET text = '',
            chain_id = NULL,
            contract = NULL,
            wallet = NULL,
            deadline = NULL,
            signature = NULL,
            signed_at = NULL,
            -- What was sent is sent; what waits is not.
            chain_state = NULLIF(chain_state, 'PENDING'),
            due_at = NULL,
            seal = NULL,
            seal_key = NULL
        WHERE user_id = of_user
          AND (text <> '' OR wallet IS NOT NULL)
        RETURNING id
    )
    SELECT count(*) FROM emptied
$$;

-- Why administrators named somebody, for this patient; and what waits is closed, for whomever of both.
CREATE FUNCTION empty_representations(of_user UUID) RETURNS BIGINT
LANGUAGE sql AS $$
    WITH emptied AS (
        UPDATE representatives
        SET reason = ''
        WHERE patient_id = of_user
          AND reason <> ''
        RETURNING id
    ),
    -- What became of a proposal is final: of those that are closed the reason alone goes.
    forgotten AS (
        UPDATE representative_proposals
        SET reason = ''
        WHERE patient_id = of_user
          AND reason <> ''
          AND closed_at IS NOT NULL
        RETURNING id
    ),
    closed AS (
        UPDATE representative_proposals
        SET reason = CASE WHEN patient_id = of_user THEN '' ELSE reason END,
            closed_at = decision_time(),
            closed_by = of_user,
            seal = NULL,
            seal_key = NULL
        WHERE (patient_id = of_user OR representative_id = of_user)
          AND closed_at IS NULL
        RETURNING id
    )
    SELECT (SELECT count(*) FROM emptied) + (SELECT count(*) FROM forgotten) + (SELECT count(*) FROM closed)
$$;

-- The api's role may have it done, of an account whose erasure is being carried out.
CREATE FUNCTION erase_receipts(request UUID) RETURNS BIGINT
LANGUAGE sql SECURITY DEFINER AS $$
    SELECT empty_receipts(asked.user_id)
    FROM data_deletion_requests AS asked
    WHERE asked.id = request
      AND asked.status = 'executing'
      AND asked.request_type = 'ACCOUNT_ERASURE'
$$;
CREATE FUNCTION erase_representations(request UUID) RETURNS BIGINT
LANGUAGE sql SECURITY DEFINER AS $$
    SELECT empty_representations(asked.user_id)
    FROM data_deletion_requests AS asked
    WHERE asked.id = request
      AND asked.status = 'executing'
      AND asked.request_type = 'ACCOUNT_ERASURE'
$$;

DO $$
DECLARE
    here TEXT := current_schema();
BEGIN
    EXECUTE format('ALTER FUNCTION erase_receipts(UUID) SET search_path = %I, pg_temp', here);
    EXECUTE format('ALTER FUNCTION erase_representations(UUID) SET search_path = %I, pg_temp', here);
END
$$;

REVOKE EXECUTE
    ON FUNCTION empty_receipts(UUID), empty_representations(UUID), erase_receipts(UUID), erase_representations(UUID)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_receipts(UUID), erase_representations(UUID) TO meditrustal_api;
