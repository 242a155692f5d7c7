#!/usr/bin/env bash
# in_postgres.sh PROGRAM…: runs tests of the ledger on a PostgreSQL server, in one database of it.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/lib/postgres.sh
. "${PC_SOURCE:?}/tests/lib/postgres.sh"
postgres_start || exit 1
postgres_database ledger
for program in "$@"; do
    CMOCKA_MESSAGE_OUTPUT=TAP PC_POSTGRES=$POSTGRES_URL/ledger "$program" >"$WORK/out" 2>&1
    code=$?
    if [ $code = 0 ]; then pass "$(basename "$program")"; else fail "$(basename "$program")" "$(grep -v '^ok' "$WORK/out")"; fi
done
finish
