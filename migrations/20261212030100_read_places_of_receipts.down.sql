REVOKE SELECT (tx_hash, block_hash) ON consent_receipts FROM meditrustal_indexer;
