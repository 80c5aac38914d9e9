-- The indexer names the registry in open findings that the version before wrote.
GRANT UPDATE (chain_id, registry) ON integrity_findings TO meditrustal_indexer;
