-- What has had its time is removed by the api. A log-in's rows name the one before them; a row that was used
-- long ago goes while those after it stay, so nothing may go or be refused with it.
ALTER TABLE sessions DROP CONSTRAINT sessions_parent_id_fkey;

GRANT DELETE ON sessions, idempotency_keys TO meditrustal_api;
