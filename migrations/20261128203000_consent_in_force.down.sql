DROP FUNCTION is_in_force(timestamptz, timestamptz, timestamptz, timestamptz);
