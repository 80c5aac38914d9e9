-- Which of the transactions of a nonce is handed over: the newest one. The others are kept, since any of them may be the one
-- that is mined.
ALTER TABLE anchor_attempts
    ADD COLUMN state VARCHAR(10) NOT NULL DEFAULT 'CURRENT' CHECK (state IN ('CURRENT', 'REPLACED'));

GRANT UPDATE (state) ON anchor_attempts TO meditrustal_api;
