#!/bin/bash
# Copies the primary when there is no copy, and follows it.
set -euo pipefail
export PGDATA=/var/lib/postgresql/18/docker
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # What an interrupted copy left.
    rm -rf "$PGDATA" "$PGDATA.new"
    mkdir --parents "$(dirname "$PGDATA")"
    pg_basebackup --host=primary --username=standby --slot=standby --pgdata="$PGDATA.new" --wal-method=stream --checkpoint=fast \
        --write-recovery-conf --no-password
    mv "$PGDATA.new" "$PGDATA"
fi
exec postgres
