REVOKE SELECT (chain_id) ON consent_receipts FROM meditrustal_indexer;
