#!/usr/bin/env bash
# Memory under load: thousands of enrolments, each with a TLS connection of its own, and no process of the station grows.
# memory.sh [THOUSANDS], four to a hundred; of each ten thousand it says what the processes' own memory is.
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/est.sh
. "$PC_SOURCE/tests/lib/est.sh"
need curl openssl
thousands=${1:-6}
cd "$WORK" || exit 1
est_prepare 'connections-per-address = 0'
check "requests" "$PC_BUILD/tests/bench/requests" requests $((thousands * 1000)) || finish
tr -d '\r' <requests.csv | cut -d, -f1 >plants.csv
check "codes for all" "$PLANTCA" allow --import plants.csv --code -o codes.csv || finish
tail -n +2 codes.csv | tr -d '\r' | cut -d, -f1,2 | sort | join -t, - <(tr -d '\r' <requests.csv | sort) | split -l 1000 -d -a 3 - list.
est_start

# resident: KiB of its own memory of each process of the station: master, signer, worker.
resident() {
    local pid
    for pid in "$STATION_PID" $(pgrep -P "$STATION_PID" | sort -n); do sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$pid/status"; done
}
for list in list.*; do
    check "a thousand enrolments" "$PC_BUILD/tests/bench/load" localhost "$STATION_PORT" "$ANCHOR" "$list" 16 new
    resident >"resident.${list#list.}"
    case $list in *9) echo "# KiB after $((10#${list#list.} + 1)) thousand: $(tr '\n' ' ' <"resident.${list#list.}")" ;; esac
done
# The ledger's cache (16 MiB) is full after the third thousand.
paste resident.002 "resident.${list#list.}" >resident
echo "# KiB after the third thousand, and after the last: $(tr '\t\n' ' ;' <resident)"
grown=$(awk '$2 - $1 > most { most = $2 - $1 } END { print NR < 3 ? "unknown" : most + 0 }' resident)
check "no process has grown by a MiB since: $grown KiB" test "$grown" -lt 1024
est_stop
same $? 0 "the station ends in good order"
finish
