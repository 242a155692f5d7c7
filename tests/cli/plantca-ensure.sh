#!/usr/bin/env bash
# plantca ensure: makes a CA where there is none, is silent where there is one, and never makes a second.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_prepare
ensure() { "$PLANTCA" ensure "$@"; }

expect 4 "the token cannot be reached" ensure -c "$(without_token)"
same "$(find "$WORK/state" -name '*.crt' 2>/dev/null | wc -l)" 0 "no CA was made"
check "nothing there" ensure --json
json "makes a CA" 'd["made"]'
root=$(find "$WORK/state" -name ca.crt -exec sha256sum {} +)
check "again" ensure
silent "is silent"
check "with --json" ensure --json
json "tells that nothing was made" 'not d["made"] and d["subject"]'
same "$(find "$WORK/state" -name ca.crt -exec sha256sum {} +)" "$root" "the same certificate stands"
expect 4 "a CA whose token cannot be reached" ensure -c "$(without_token)"
sed "s|^state .*|state = $WORK/second|" "$PLANTCA_CONFIG" >"$WORK/second.conf"
! in_postgres || { postgres_database other && sed -i 's|/plantca$|/other|' "$WORK/second.conf"; }
expect 5 "an empty state folder beside a token that holds a CA key" ensure -c "$WORK/second.conf"
same "$(find "$WORK/second" -name '*.crt' 2>/dev/null | wc -l)" 0 "no second CA was made"
mv "$WORK/state/ca.crt" "$WORK/state/ca.crt.away"
"$PLANTCA" ensure >"$WORK/out" 2>"$WORK/err"
code=$?
same "$([ $code = 4 ] || [ $code = 5 ] && echo refused)" refused "a CA without its certificate file"
finish
