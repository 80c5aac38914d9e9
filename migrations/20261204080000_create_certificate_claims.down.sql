DROP TABLE certificate_claims;
