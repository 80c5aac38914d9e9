DROP INDEX idx_users_doctor_words;
DROP FUNCTION words_of(varchar);
