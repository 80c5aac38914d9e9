-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS integrity_findings_registry_key;
