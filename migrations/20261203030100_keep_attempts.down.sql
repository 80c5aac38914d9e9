ALTER TABLE anchor_attempts DROP COLUMN state;
