REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM meditrustal_api, meditrustal_indexer;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM meditrustal_api, meditrustal_indexer;
REVOKE USAGE ON SCHEMA public FROM meditrustal_api, meditrustal_indexer;
