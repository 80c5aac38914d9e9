DROP TABLE indexer_sweeps;
