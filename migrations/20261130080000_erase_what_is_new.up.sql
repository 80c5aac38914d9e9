-- What representations, memberships and receipts of consents say of somebody goes with the account
-- (docs/decisions/0046-erasure-by-two-and-step-by-step.md).

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
