#!/bin/bash
# Once, when the primary's data directory is made: the role that the standby follows by, from the network of compose.yaml alone.
set -euo pipefail
psql --username postgres --set ON_ERROR_STOP=1 --set "password=$REPLICATION_PASSWORD" <<'SQL'
CREATE ROLE standby REPLICATION LOGIN PASSWORD :'password';
SELECT pg_create_physical_replication_slot('standby');
SQL
echo "host replication standby 172.30.7.0/27 scram-sha-256" >> "$PGDATA/pg_hba.conf"
