#!/usr/bin/env bash
# plantca with a token that hangs, vanishes, signs wrong or locks its PIN: it ends in time with exit 4 (or opens the token once
# more), and the next run finishes what was begun.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
need sqlite3
ca_start
cd "$WORK" || exit 1
export SHIM_MODULE=$SOFTHSM_MODULE SHIM_LOG=$WORK/calls
sed -i "s|^module .*|module = $PC_BUILD/tests/integration/hsm/pkcs11-shim.so|" "$PLANTCA_CONFIG"
sed "s|^module .*|&\ntimeout = 2s|" "$PLANTCA_CONFIG" >hasty.conf

plants=0
# next_plant: the request of a plant that nobody knows yet, as $plant and plant.csr.
next_plant() {
    plants=$((plants + 1))
    plant=$(printf 'a1b2c3d4-0000-4000-8000-%012d' $plants)
    rm -f plant.key plant.crt "$SHIM_LOG"
    new_csr "$plant" plant.key plant.csr
}
sign() { "$PLANTCA" sign --plant "$plant" plant.csr -o plant.crt --json; }
# with RULE… COMMAND…: the command, with these rules of the shim (tests/integration/hsm/shim.c).
with() { timeout -k 1 20 env "$@"; }
signing() { with "$@" "$PLANTCA" sign --plant "$plant" plant.csr -o plant.crt --json; }
hanging() { signing PLANTCA_CONFIG=hasty.conf SHIM_HANG="$1"; }
calls() { grep -c "^$1 " "$SHIM_LOG"; }
row() { sqlite3 state/ledger.db "SELECT state, lower(hex(serial)) FROM certificate WHERE subject = '$plant'"; }
# finished DESCRIPTION: without any rule, the plant now gets the certificate that was on record.
finished() {
    local before
    before=$(row | cut -d'|' -f2)
    check "$1: the next run" sign
    same "$(row)" "current|$before" "$1: finishes the row that was begun"
    check "$1: with a certificate that verifies" openssl verify -CAfile state/ca.crt plant.crt
}
# unreachable NAME DESCRIPTION: the last command said so, and gave nothing out.
unreachable() {
    json "$2: by name" "d['error']['code'] == 4 and d['error']['name'] == '$1'"
    same "$(find . -maxdepth 1 -name 'plant.crt*')" "" "$2: nothing is given out"
}

for call in C_SignInit C_Sign; do
    next_plant
    expect 4 "$call hangs" hanging $call:1
    unreachable token-timeout "$call hangs"
    same "$(row | cut -d'|' -f1)" signing "$call hangs: what was to be signed is on record"
    finished "$call hangs"
done
for call in C_Initialize C_Login C_FindObjects; do
    next_plant
    expect 4 "$call hangs" hanging $call:1
    unreachable token-timeout "$call hangs"
done
check "with a token that answers again" sign
next_plant
check "C_Finalize hangs, when all is done" hanging C_Finalize:1
same "$(row | cut -d'|' -f1)" current "the certificate is on record"
check "and good" openssl verify -CAfile state/ca.crt plant.crt

for code in 0x32 0xe0 0xb0 0xb3 0x101 0x30; do
    next_plant
    check "the token is lost ($code) and comes back" signing SHIM_GONE=C_Sign:1:$code
    same "$(calls C_Login) $(row | cut -d'|' -f1)" "2 current" "by one login more ($code)"
done
next_plant
expect 4 "it is lost twice" signing SHIM_GONE=C_Sign:1:0x32,C_Sign:1:0x32
unreachable token-lost "it is lost twice"
same "$(calls C_Login)" 2 "it is lost twice: no third login"
finished "it is lost twice"
next_plant
expect 4 "it does not come back" signing SHIM_GONE=C_Sign:1:0x32:1
said "did not come back.*CKR_DEVICE_REMOVED" "it does not come back: says so"
same "$(calls C_Login)" 1 "it does not come back: no second login"
finished "it does not come back"

# Which call is the second login, of all that are made.
next_plant
check "which login is the second" signing SHIM_GONE=C_Sign:1:0x32
second=$(grep -n '^C_Login ' "$SHIM_LOG" | sed -n '2s/:.*//p')
next_plant
expect 3 "the PIN is refused at the second login" signing SHIM_GONE=C_Sign:1:0x32 "SHIM_FAIL=*:$second:0xa0"
same "$(calls C_Login)" 2 "and is not tried a third time"
finished "the PIN is refused at the second login"
printf 'wrong-pin\n' >wrong
chmod 600 wrong
wrong() { with SHIM_PIN_TRIES=3:"$WORK/tries" "$PLANTCA" sign --plant "$plant" plant.csr -o plant.crt --pin-file wrong; }
next_plant
expect 3 "a wrong PIN" wrong
same "$(cat tries)" 1 "costs one try"
expect 3 "again" wrong
same "$(cat tries)" 2 "costs one more"
expect 3 "before the last try" wrong
said "CKF_USER_PIN_FINAL_TRY" "it stops"
same "$(cat tries)" 2 "and spends none"

next_plant
expect 1 "a wrong signature" signing SHIM_WRONG=C_Sign:1
same "$(find . -maxdepth 1 -name 'plant.crt*')" "" "a wrong signature is not given out"
finished "a wrong signature"
next_plant
expect 137 "killed behind the signature" signing SHIM_KILL=C_Sign:1:after
finished "killed behind the signature"
next_plant
check "two sessions are enough" signing SHIM_SESSIONS=2
next_plant
expect 4 "one session is not" signing SHIM_SESSIONS=1
said "CKR_SESSION_COUNT" "and says why"

# Batches: the same, with several signatures under way.
mkdir csrs certs
# requests FROM TO: that many plants more.
requests() {
    local n one
    for n in $(seq "$1" "$2"); do
        one=$(printf 'b2c3d4e5-0000-4000-8000-%012d' "$n")
        rm -f batch.key
        new_csr "$one" batch.key "csrs/$one.csr"
    done
}
batch() { with "$@" "$PLANTCA" sign --batch csrs -o certs; }
in_state() { sqlite3 state/ledger.db "SELECT count(*) FROM certificate WHERE subject LIKE 'b2c3d4e5-%' AND state = '$1'"; }
# each COUNT DESCRIPTION: so many plants have their certificate, each once, and nothing is left.
each() { same "$(in_state current) $(in_state signing) $(find certs -name '*.crt' | wc -l)" "$1 0 $1" "$2"; }
requests 1 12
rm -f "$SHIM_LOG"
expect 4 "a batch, its token lost twice" batch SHIM_GONE=C_Sign:2:0x32,C_Sign:2:0xb3
same "$(calls C_Login)" 2 "no third login"
rm -f "$SHIM_LOG"
check "a batch, its token lost once" batch SHIM_GONE=C_Sign:2:0x101
same "$(calls C_Login)" 2 "by one login more"
each 12 "each has its certificate"
requests 13 16
expect 4 "a batch in which C_Sign hangs" batch PLANTCA_CONFIG=hasty.conf SHIM_HANG=C_Sign:2
check "and again" batch
each 16 "only what was left is done"

check "a revocation whose CRL loses the token" with SHIM_GONE=C_Sign:1:0x32 "$PLANTCA" revoke --plant "$UUID1"
check "is on the CRL" sh -c "openssl crl -in state/ca.crl -noout -text | grep -q 'Serial Number'"
finish
