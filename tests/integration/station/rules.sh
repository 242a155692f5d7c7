#!/usr/bin/env bash
# Re-enrolment by its rules: `rules.sh early` with early renewal allowed, `rules.sh window` with window and grace kept to.
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/est.sh
. "$PC_SOURCE/tests/lib/est.sh"
need curl openssl /usr/bin/python3
kind=${1:-early}
cd "$WORK" || exit 1
number=0

# signed NAME [COMMAND…]: NAME.key and NAME.crt of a plant of its own; by COMMAND, which may set the clock.
signed() {
    local name=$1 uuid
    shift
    number=$((number + 1))
    uuid=$(printf 'c0ffee00-0000-4000-8000-%012d' $number)
    new_csr "$uuid" "$name.key" "$name.csr"
    "$@" "$PLANTCA" sign --plant "$uuid" "$name.csr" -o "$name.crt" >>signed.out 2>&1 || sed 's/^/# /' signed.out
    echo "$name $uuid" >>plants
}

ca_prepare
printf '[device]\ndays = 100\nrenew-window = 30d\n' >>"$PLANTCA_CONFIG"
if [ "$kind" = early ]; then
    "$PLANTCA" init >init.out 2>&1
    est_prepare 'early-renewal = yes'
    for name in hostile other plain san rekey; do signed "$name"; done
else
    est_prepare 'grace = 10d'
    days_later -150 "$PLANTCA" init >init.out 2>&1
    signed over days_later -115
    signed late days_later -105
    signed due days_later -80
    signed fresh
fi
est_start
/usr/bin/python3 "$PC_SOURCE/tests/integration/station/rules.py" "$STATION_PORT" "$ANCHOR" "$WORK" "$kind"
