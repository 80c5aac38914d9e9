-- A deletion request is verified by the password of the account, or by a signature of its wallet: what is to be signed waits in
-- verification_details, and names no wallet.
ALTER TABLE data_deletion_requests
    ADD CONSTRAINT data_deletion_requests_verification_method_check
        CHECK (verification_method IN ('PASSWORD', 'WALLET'));
