-- The indexer moves the receipts of its own chain alone.
GRANT SELECT (chain_id) ON consent_receipts TO meditrustal_indexer;
