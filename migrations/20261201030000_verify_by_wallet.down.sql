REVOKE UPDATE (verification_method, verification_details) ON data_deletion_requests FROM meditrustal_api;
UPDATE data_deletion_requests SET verification_details = NULL WHERE verification_details IS NOT NULL;
ALTER TABLE data_deletion_requests DROP CONSTRAINT data_deletion_requests_verification_method_check;
