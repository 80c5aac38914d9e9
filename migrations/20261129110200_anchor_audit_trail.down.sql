ALTER TABLE audit_watermark DROP COLUMN checkpoint_wanted_at;
DROP TABLE audit_checkpoints;
