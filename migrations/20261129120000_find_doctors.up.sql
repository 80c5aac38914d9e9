-- Doctors by the beginnings of the words of their names: a name is divided where it has a dot, a hyphen or an underscore.
CREATE FUNCTION words_of(username varchar) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('simple'::regconfig, translate(lower(username), '._-', '   '))
$$;
REVOKE EXECUTE ON FUNCTION words_of(varchar) FROM PUBLIC;
-- Whoever updates an account has its index written.
GRANT EXECUTE ON FUNCTION words_of(varchar) TO meditrustal_api, meditrustal_keys;
CREATE INDEX idx_users_doctor_words ON users USING gin (words_of(username))
    WHERE role = 'DOCTOR' AND is_active AND NOT is_system;
