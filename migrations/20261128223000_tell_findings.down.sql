DROP INDEX idx_integrity_feed_finding_id;
DROP FUNCTION told_of(uuid, uuid);
