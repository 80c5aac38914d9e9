DROP INDEX idx_data_deletion_requests_open;
DROP INDEX idx_data_processing_consents_open;
ALTER TABLE data_deletion_requests DROP CONSTRAINT data_deletion_requests_categories_check;
ALTER TABLE data_processing_consents
    DROP CONSTRAINT data_processing_consents_grantees_check,
    DROP CONSTRAINT data_processing_consents_activities_check,
    DROP CONSTRAINT data_processing_consents_categories_check;
DROP FUNCTION is_set(jsonb);
