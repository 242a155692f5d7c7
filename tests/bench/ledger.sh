#!/usr/bin/env bash
# ledger.sh [COUNT]: the ledger in SQLite and in PostgreSQL, in turns, on the same disk: certificates a second in groups of 256.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/lib/postgres.sh
. "${PC_SOURCE:?}/tests/lib/postgres.sh"
postgres_start || exit 1
for round in 1 2 3; do
    mkdir "$WORK/sqlite-$round" "$WORK/postgres-$round"
    printf 'SQLite      '
    "$PC_BUILD/tests/bench/ledger" "$WORK/sqlite-$round" "${1:-10000}" 256
    postgres_database "bench$round"
    printf 'PostgreSQL  '
    "$PC_BUILD/tests/bench/ledger" "$WORK/postgres-$round" "${1:-10000}" 256 "$POSTGRES_URL/bench$round"
done
