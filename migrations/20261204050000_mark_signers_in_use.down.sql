ALTER TABLE signers DROP COLUMN in_use;
