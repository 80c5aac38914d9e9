DROP TABLE data_deletion_requests;
