DROP TABLE data_processing_consents;
DROP FUNCTION refuse_consent_change();
