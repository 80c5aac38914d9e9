DROP TABLE indexer_leases;
