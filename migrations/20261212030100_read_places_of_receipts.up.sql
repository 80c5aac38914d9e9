-- The indexer holds where a receipt says it is against where its event is.
GRANT SELECT (tx_hash, block_hash) ON consent_receipts TO meditrustal_indexer;
