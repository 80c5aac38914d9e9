-- Requests to erase are carried out step by step, each noted in the transaction that does it.
CREATE TABLE deletion_steps (
    request_id UUID NOT NULL REFERENCES data_deletion_requests(id),
    step VARCHAR(20) NOT NULL CHECK (step IN (
        'BEGIN', 'SESSIONS', 'CONSENTS', 'RECORDS', 'KEYS', 'ACCOUNT', 'CERTIFICATE'
    )),
    done_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (request_id, step),
    CONSTRAINT deletion_steps_done_at_bounded_check
        CHECK (done_at > '-infinity' AND done_at < '262143-01-01 00:00:00Z')
);

-- What was erased, for whoever has to show it: the exact bytes, and their SHA-256, which the audit trail holds.
CREATE TABLE deletion_certificates (
    request_id UUID PRIMARY KEY REFERENCES data_deletion_requests(id),
    document BYTEA NOT NULL,
    sha256 VARCHAR(64) NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT deletion_certificates_issued_at_bounded_check
        CHECK (issued_at > '-infinity' AND issued_at < '262143-01-01 00:00:00Z')
);

-- What is due.
CREATE INDEX idx_data_deletion_requests_due ON data_deletion_requests (updated_at, id)
    WHERE status IN ('scheduled', 'executing', 'failed');

-- The api's role changes no envelope and no key. It may have these destroyed, of a request that is being carried out.
CREATE FUNCTION erase_records(request UUID, at_most INTEGER)
RETURNS TABLE (record_id UUID, is_current BOOLEAN)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    -- A record that is named stands for the versions after it, too, whenever they were written.
    WITH RECURSIVE named(id) AS (
        SELECT UNNEST(asked.approved_records) FROM data_deletion_requests AS asked WHERE asked.id = request
        UNION
        SELECT later.id FROM named JOIN medical_records AS later ON later.predecessor_id = named.id
    )
    UPDATE medical_records AS record
    SET encrypted_data = '\x',
        record_metadata = NULL,
        code_tokens = NULL,
        missing_elements = NULL,
        effective_at = NULL,
        erased_at = decision_time()
    WHERE record.id IN (
        SELECT due.id
        FROM medical_records AS due
        JOIN data_deletion_requests AS asked ON asked.user_id = due.patient_id
        WHERE asked.id = request
          AND asked.status = 'executing'
          AND asked.request_type <> 'RESTRICTION'
          -- Whatever is left (`store::deletion::execution::left`): also what somebody put back.
          AND (due.erased_at IS NULL OR octet_length(due.encrypted_data) > 0
               OR due.record_metadata IS NOT NULL OR due.code_tokens IS NOT NULL
               OR due.missing_elements IS NOT NULL OR due.effective_at IS NOT NULL)
          AND (asked.approved_categories && ARRAY['ALL_RECORDS', due.record_type::text]
               OR due.id IN (SELECT named.id FROM named))
        ORDER BY due.id
        LIMIT at_most
    )
    RETURNING record.id, record.superseded_at IS NULL
$$;

CREATE FUNCTION destroy_patient_keys(request UUID)
RETURNS SETOF UUID
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE patient_keys AS key
    SET wrapped_key = NULL, destroyed_at = decision_time()
    FROM data_deletion_requests AS asked
    WHERE asked.id = request
      AND asked.status = 'executing'
      AND asked.request_type = 'ACCOUNT_ERASURE'
      AND key.patient_id = asked.user_id
      AND key.destroyed_at IS NULL
    RETURNING key.id
$$;

CREATE FUNCTION erase_wallets(request UUID)
RETURNS BIGINT
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM wallets
        USING data_deletion_requests AS asked
        WHERE asked.id = request
          AND asked.status = 'executing'
          AND asked.request_type = 'ACCOUNT_ERASURE'
          AND wallets.user_id = asked.user_id
        RETURNING wallets.id
    )
    SELECT count(*) FROM gone
$$;

REVOKE EXECUTE ON FUNCTION erase_records(UUID, INTEGER), destroy_patient_keys(UUID), erase_wallets(UUID) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_records(UUID, INTEGER), destroy_patient_keys(UUID), erase_wallets(UUID)
    TO meditrustal_api;
GRANT SELECT, INSERT, DELETE ON deletion_steps TO meditrustal_api;
GRANT SELECT, INSERT ON deletion_certificates TO meditrustal_api;
