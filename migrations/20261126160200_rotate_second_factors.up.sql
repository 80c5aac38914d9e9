-- Secrets of second factors are sealed by master keys, too: a rotation brings them along.
GRANT SELECT (user_id, sealed_secret, master_key_id), UPDATE (sealed_secret, master_key_id)
    ON second_factors TO meditrustal_keys;
