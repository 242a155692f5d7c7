#!/usr/bin/env bash
# plantca beside itself: a CRL by cron, a signature by an operator and an ensure at boot, all at once, do not disturb each other.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
uuid() { printf 'a1b2c3d4-0000-4000-8000-%012d' "$1"; }
rounds=8
for i in $(seq $rounds); do
    openssl ecparam -name prime256v1 -genkey -noout | openssl req -new -key /dev/stdin -subj "/CN=$(uuid "$i")" -out "$i.csr"
done

# one NAME COMMAND…: its exit code and what it said
one() {
    local name=$1
    shift
    "$PLANTCA" -q "$@" >/dev/null 2>"$name.err" </dev/null || echo "$name: exit $?: $(cat "$name.err")" >>failures
}
: >failures
for i in $(seq $rounds); do
    running=()
    one "crl-$i" crl & running+=($!)
    one "sign-$i" sign --plant "$(uuid "$i")" "$i.csr" & running+=($!)
    one "ensure-$i" ensure & running+=($!)
    one "status-$i" status & running+=($!)
    wait "${running[@]}"
done
same "$(cat failures)" "" "$((4 * rounds)) commands, four at a time, all succeed"
same "$("$PLANTCA" list --current --json | grep -c '"device"')" "$rounds" "every plant has its certificate"
same "$(printf '%d' "$(openssl crl -in state/ca.crl -noout -crlnumber | sed 's/.*=//')")" $((rounds + 1)) "every CRL has its number"
finish
