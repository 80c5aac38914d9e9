-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS integrity_findings_statement_key;
