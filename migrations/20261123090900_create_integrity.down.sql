DROP TABLE integrity_feed;
DROP TABLE integrity_findings;
