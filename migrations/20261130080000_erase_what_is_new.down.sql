DROP FUNCTION erase_representations(UUID);
DROP FUNCTION erase_receipts(UUID);
DROP FUNCTION empty_representations(UUID);
DROP FUNCTION empty_receipts(UUID);

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
  );
