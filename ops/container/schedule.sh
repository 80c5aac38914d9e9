#!/bin/bash
# What the timers of ops/systemd do, in a container: runs a command whenever it is due, and five minutes later once more where it
# ends with 75. One that was missed, because the container was off, is run when it is on again.
#
#   schedule.sh WHEN COMMAND…            WHEN as OnCalendar has it: hourly, *-*-* 02:00:00, Sun *-*-* 03:00:00, *-*-01 04:00:00
#   schedule.sh --next WHEN SECONDS      says when that is due after a time, in seconds since 1970
set -euo pipefail
export LC_ALL=C

next() {
    local when=$1 after=$2 days day at
    if [ "$when" = hourly ]; then
        echo $((after - after % 3600 + 3600))
        return
    fi
    for days in {0..31}; do
        day=$(date --date "$(date --date "@$after" +%F) + $days days" +%F)
        case $when in
            [A-Z]*) [ "$(date --date "$day" +%a)" = "${when%% *}" ] || continue ;;
            '*-*-01 '*) [ "${day##*-}" = 01 ] || continue ;;
            '*-*-* '*) ;;
            *) break ;;
        esac
        at=$(date --date "$day ${when##* }" +%s)
        if [ "$at" -gt "$after" ]; then
            echo "$at"
            return
        fi
    done
    echo "schedule.sh: there is no such time: $when" >&2
    return 64
}

if [ "$1" = --next ]; then
    next "$2" "$3"
    exit
fi
when=$1
shift
words="$*"
stamp="${SCHEDULE_DIR:-/var/lib/schedule}/${words//[^A-Za-z0-9]/-}"
running=
trap 'if [ -n "$running" ]; then kill -TERM "$running" || true; wait "$running" || true; fi; exit 143' TERM INT

# In the background, so that a signal is heard at once.
run() {
    "$@" &
    running=$!
    local status=0
    wait "$running" || status=$?
    running=
    return "$status"
}

[ -s "$stamp" ] || date +%s > "$stamp"
while true; do
    due=$(next "$when" "$(cat "$stamp")")
    left=$((due - $(date +%s)))
    if [ "$left" -gt 0 ]; then
        run sleep "$left"
        continue
    fi
    date +%s > "$stamp.new"
    status=0
    run "$@" || status=$?
    if [ "$status" = 75 ]; then
        run sleep 300
        continue
    fi
    mv "$stamp.new" "$stamp"
    [ "$status" = 0 ] || echo "schedule.sh: $words ended with $status" >&2
done
