REVOKE SELECT (user_id, sealed_secret, master_key_id), UPDATE (sealed_secret, master_key_id)
    ON second_factors FROM meditrustal_keys;
