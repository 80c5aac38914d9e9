-- What a patient agreed to, or took back, as one text; the signature of the patient's wallet on it; and how far that has
-- come on its way to the registry of consents. The text and the signature are sealed.
CREATE TABLE consent_receipts (
    id UUID PRIMARY KEY,
    consent_id UUID NOT NULL REFERENCES data_processing_consents(id),
    user_id UUID NOT NULL REFERENCES users(id),
    kind VARCHAR(10) NOT NULL CHECK (kind IN ('GRANT', 'WITHDRAWAL')),
    -- Canonical JSON, with the salt.
    text TEXT NOT NULL CHECK (octet_length(text) <= 65536),
    -- hashStruct of the details: what the registry of consents knows it by.
    details_hash VARCHAR(64) NOT NULL CHECK (details_hash ~ '^[0-9a-f]{64}$'),
    -- When the consent ends, as that registry holds it: seconds since 1970, zero for never.
    registry_end BIGINT NOT NULL CHECK (registry_end BETWEEN 0 AND 1099511627775),
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    chain_id BIGINT,
    contract VARCHAR(42),
    wallet VARCHAR(42),
    -- The last second in which the signature may be used.
    deadline TIMESTAMP WITH TIME ZONE,
    signature BYTEA CHECK (octet_length(signature) <= 8192),
    signed_at TIMESTAMP WITH TIME ZONE,
    seal BYTEA,
    seal_key VARCHAR(64),
    -- From here on, what is not sealed: the registry itself is asked.
    chain_state VARCHAR(10)
        CHECK (chain_state IN ('PENDING', 'SUBMITTED', 'CONFIRMED', 'FINALIZED', 'FAILED')),
    -- Why the registry will never take it.
    failure VARCHAR(20)
        CHECK (failure IN (
            'DEADLINE_PASSED', 'CONSENT_EXPIRED', 'WITHDRAWN_BEFORE', 'REFUSED', 'WITHDRAWN_HERE', 'OTHER_REGISTRY',
            'OTHER_WALLET'
        )),
    -- When it is looked at again while it is PENDING; null where it is not to be relayed.
    due_at TIMESTAMP WITH TIME ZONE,
    -- How often it was mined without effect.
    refusals SMALLINT NOT NULL DEFAULT 0,
    tx_hash VARCHAR(66),
    block_number BIGINT,
    block_hash VARCHAR(66),
    confirmed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT consent_receipts_act_key UNIQUE (consent_id, kind),
    CONSTRAINT consent_receipts_signed_check
        CHECK (num_nonnulls(chain_id, contract, wallet, deadline, signature, signed_at) IN (0, 6)),
    CONSTRAINT consent_receipts_made_at_bounded_check
        CHECK (made_at > '-infinity' AND made_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT consent_receipts_deadline_bounded_check
        CHECK (deadline > '-infinity' AND deadline < '262143-01-01 00:00:00Z'),
    CONSTRAINT consent_receipts_signed_at_bounded_check
        CHECK (signed_at > '-infinity' AND signed_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT consent_receipts_due_at_bounded_check
        CHECK (due_at > '-infinity' AND due_at < '262143-01-01 00:00:00Z'),
    CONSTRAINT consent_receipts_confirmed_at_bounded_check
        CHECK (confirmed_at > '-infinity' AND confirmed_at < '262143-01-01 00:00:00Z')
);

CREATE INDEX idx_consent_receipts_user_id ON consent_receipts (user_id);
-- Whether a wallet that the registry of consents names has signed anything here.
CREATE INDEX idx_consent_receipts_wallet ON consent_receipts (wallet);
-- What a rotation of the master keys seals anew.
CREATE INDEX idx_consent_receipts_seal_key ON consent_receipts (seal_key, id);

-- What was agreed to stays as it is.
CREATE TRIGGER consent_receipts_append_only BEFORE DELETE ON consent_receipts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER consent_receipts_never_truncated BEFORE TRUNCATE ON consent_receipts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE deep_checks
    DROP CONSTRAINT deep_checks_stage_check,
    ADD CONSTRAINT deep_checks_stage_check CHECK (stage IN (
        'KEYS', 'RECORDS', 'ACCOUNTS', 'CONSENTS', 'FACTORS', 'SESSIONS', 'PROPOSALS', 'WINDOWS', 'DELETIONS', 'HOLDS',
        'CODES', 'ORGS', 'MEMBERS', 'RECEIPTS'
    ));

GRANT SELECT, INSERT, UPDATE (
    chain_id, contract, wallet, deadline, signature, signed_at, seal, seal_key, chain_state, failure, due_at, refusals,
    tx_hash
) ON consent_receipts TO meditrustal_api;
GRANT SELECT, UPDATE (seal, seal_key) ON consent_receipts TO meditrustal_keys;
