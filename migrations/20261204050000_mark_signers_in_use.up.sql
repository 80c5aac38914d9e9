-- Which accounts the apis are to sign with: those that begin lines of versions. The others go on with what they have begun where an
-- api has their key, and leave it to others where none has. The first api that starts marks its own.
ALTER TABLE signers ADD COLUMN in_use BOOLEAN NOT NULL DEFAULT FALSE;

GRANT UPDATE (in_use) ON signers TO meditrustal_api;
