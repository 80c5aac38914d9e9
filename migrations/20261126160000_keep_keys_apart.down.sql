ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON SEQUENCES FROM meditrustal_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM meditrustal_backup;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM meditrustal_backup, meditrustal_keys;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM meditrustal_backup, meditrustal_keys;
REVOKE USAGE ON SCHEMA public FROM meditrustal_backup, meditrustal_keys;
