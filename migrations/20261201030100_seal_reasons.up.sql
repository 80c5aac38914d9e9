-- Why administrators decided about a deletion request, and why they placed a hold, is sealed under the patient's key
-- (docs/decisions/0062-wallets-verify-erasure-and-reasons-are-sealed.md). What stands there in clear is sealed by the api, which
-- empties the old column then; where both are there, a program of before has written the one in clear last.
ALTER TABLE data_deletion_requests
    ADD COLUMN sealed_reason BYTEA,
    ADD COLUMN reason_key_id UUID REFERENCES patient_keys(id),
    ADD CONSTRAINT data_deletion_requests_sealed_reason_check CHECK (
        num_nulls(sealed_reason, reason_key_id) IN (0, 2)
        AND octet_length(sealed_reason) <= 4096
    );
ALTER TABLE legal_holds
    ALTER COLUMN reason SET DEFAULT '',
    ADD COLUMN sealed_reason BYTEA,
    ADD COLUMN reason_key_id UUID REFERENCES patient_keys(id),
    ADD CONSTRAINT legal_holds_sealed_reason_check CHECK (
        num_nulls(sealed_reason, reason_key_id) IN (0, 2)
        AND octet_length(sealed_reason) <= 4096
    );

-- Of accounts that were erased there is no key: what was said about them goes.
UPDATE data_deletion_requests
SET reason = NULL
WHERE reason IS NOT NULL
  AND user_id IN (
      SELECT user_id FROM data_deletion_requests WHERE request_type = 'ACCOUNT_ERASURE' AND status = 'completed'
  );
UPDATE legal_holds
SET reason = ''
WHERE reason <> ''
  AND patient_id IN (
      SELECT user_id FROM data_deletion_requests WHERE request_type = 'ACCOUNT_ERASURE' AND status = 'completed'
  );

CREATE INDEX idx_data_deletion_requests_reason_key_id ON data_deletion_requests (reason_key_id);
CREATE INDEX idx_legal_holds_reason_key_id ON legal_holds (reason_key_id);
-- What is still to be sealed.
CREATE INDEX idx_data_deletion_requests_clear_reason ON data_deletion_requests (id) WHERE reason IS NOT NULL;
CREATE INDEX idx_legal_holds_clear_reason ON legal_holds (id) WHERE reason <> '';

-- The api's role changes no reason of a hold. It may have one that stands in clear replaced, as long as it is the same.
CREATE FUNCTION seal_hold_reason(hold UUID, clear_reason TEXT, sealed BYTEA, by_key UUID) RETURNS BOOLEAN
LANGUAGE sql SECURITY DEFINER AS $$
    WITH done AS (
        UPDATE legal_holds
        SET reason = '', sealed_reason = sealed, reason_key_id = by_key
        WHERE id = hold
          AND reason <> ''
          AND reason = clear_reason
          AND EXISTS (
              SELECT FROM patient_keys AS living
              WHERE living.id = by_key AND living.patient_id = legal_holds.patient_id AND living.destroyed_at IS NULL
          )
        RETURNING id
    )
    SELECT EXISTS (SELECT FROM done)
$$;

-- What is said about somebody goes with the account, and what waits for their wallet.
CREATE FUNCTION empty_reasons(of_user UUID) RETURNS BIGINT
LANGUAGE sql AS $$
    WITH requests AS (
        UPDATE data_deletion_requests
        SET reason = NULL, sealed_reason = NULL, reason_key_id = NULL, verification_details = NULL
        WHERE user_id = of_user
          AND num_nonnulls(reason, sealed_reason, verification_details) > 0
        RETURNING id
    ),
    holds AS (
        UPDATE legal_holds
        SET reason = '', sealed_reason = NULL, reason_key_id = NULL
        WHERE patient_id = of_user
          AND (reason <> '' OR sealed_reason IS NOT NULL)
        RETURNING id
    )
    SELECT (SELECT count(*) FROM requests) + (SELECT count(*) FROM holds)
$$;
CREATE FUNCTION erase_reasons(request UUID) RETURNS BIGINT
LANGUAGE sql SECURITY DEFINER AS $$
    SELECT empty_reasons(asked.user_id)
    FROM data_deletion_requests AS asked
    WHERE asked.id = request
      AND asked.status = 'executing'
      AND asked.request_type = 'ACCOUNT_ERASURE'
$$;

DO $$
DECLARE
    here TEXT := current_schema();
BEGIN
    EXECUTE format('ALTER FUNCTION seal_hold_reason(UUID, TEXT, BYTEA, UUID) SET search_path = %I, pg_temp', here);
    EXECUTE format('ALTER FUNCTION erase_reasons(UUID) SET search_path = %I, pg_temp', here);
END
$$;

REVOKE EXECUTE ON FUNCTION seal_hold_reason(UUID, TEXT, BYTEA, UUID), empty_reasons(UUID), erase_reasons(UUID) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seal_hold_reason(UUID, TEXT, BYTEA, UUID), erase_reasons(UUID) TO meditrustal_api;
GRANT UPDATE (sealed_reason, reason_key_id) ON data_deletion_requests TO meditrustal_api;
