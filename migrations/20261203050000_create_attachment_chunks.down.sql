DROP TRIGGER medical_records_remove_attachments ON medical_records;
DROP FUNCTION remove_attachments();
DROP TABLE attachment_chunks;
