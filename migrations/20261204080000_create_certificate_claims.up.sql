-- By which code the certificate of an erased account is had without a log-in (docs/decisions/0102-claim-codes.md).
CREATE TABLE certificate_claims (
    request_id UUID PRIMARY KEY REFERENCES data_deletion_requests(id),
    -- The SHA-256 of the code, which is 256 random bits and stored nowhere.
    code_hash VARCHAR(64) NOT NULL CHECK (code_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT certificate_claims_code_hash_key UNIQUE (code_hash)
);

GRANT SELECT, INSERT ON certificate_claims TO meditrustal_api;
