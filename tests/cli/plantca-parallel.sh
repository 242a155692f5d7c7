#!/usr/bin/env bash
# plantca beside itself: a CRL by cron, a signature by an operator and an ensure at boot; then two stations' batches, single signatures,
# revocations, CRLs and publications, all at once in one state folder. Nobody disturbs anybody.
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

# Two stations share some plants: what both ask for is issued once. While it is being signed the second is told to come back.
items=12
mkdir one two
for i in $(seq 101 $((100 + items))); do
    openssl ecparam -name prime256v1 -genkey -noout | openssl req -new -key /dev/stdin -subj "/CN=$(uuid "$i")" -out "one/$(uuid "$i").csr"
done
cp one/*1.csr one/*2.csr two
: >later
patient() {
    local name=$1 status
    shift
    for _ in $(seq 20); do
        "$PLANTCA" -q "$@" >/dev/null 2>"$name.err" </dev/null
        status=$?
        [ $status = 6 ] || break
        echo "$name" >>later
    done
    [ $status = 0 ] || echo "$name: exit $status: $(cat "$name.err")" >>failures
}
running=()
patient batch-one sign --batch one -o chains-one & running+=($!)
patient batch-two sign --batch two -o chains-two & running+=($!)
for i in $(seq 4); do
    patient "revoke-$i" revoke --plant "$(uuid "$i")" --reason superseded & running+=($!)
    patient "crl-$i" crl & running+=($!)
    patient "publish-$i" publish & running+=($!)
    patient "same-$i" sign --plant "$(uuid $((100 + i)))" "one/$(uuid $((100 + i))).csr" & running+=($!)
done
wait "${running[@]}"
same "$(cat failures)" "" "two batches and 16 other commands at once all succeed"
ask() { sqlite3 state/ledger.db "$1"; }
same "$(ask "SELECT count(*) FROM certificate WHERE profile = 'device' AND state = 'current'")" $((rounds - 4 + items)) "every plant has one certificate"
same "$(ask "SELECT count(*) - count(DISTINCT serial) FROM certificate")" 0 "no serial number twice"
same "$(ask "SELECT count(*) FROM certificate WHERE state IN ('reserved', 'signing', 'void')")" 0 "nothing is unfinished, nothing was given up"
same "$(find chains-one -name '*.crt' | wc -l)" $items "the first station has all of its chains"
for file in two/*.csr; do
    name=$(basename "$file" .csr)
    cmp -s "chains-one/$name.crt" "chains-two/$name.crt" || fail "both stations have the same certificate" "$name"
done
check "publish" "$PLANTCA" publish
for i in $(seq 4); do
    serial=$(ask "SELECT hex(serial) FROM certificate WHERE subject = '$(uuid "$i")'" | sed 's/^0*//')
    openssl crl -in published/ca/ca.crl -noout -text | grep -q "Serial Number: 0*$serial" || fail "revoked and published" "$(uuid "$i")"
done
check "the audit log is sound" "$PLANTCA" audit verify
finish
