#!/usr/bin/env bash
# plantca sign --batch with a token that vanishes, hangs or signs wrong in the middle of it.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
need sqlite3
ca_start
cd "$WORK" || exit 1
export SHIM_MODULE=$SOFTHSM_MODULE SHIM_LOG=$WORK/calls
sed -i "s|^module .*|module = $PC_BUILD/tests/integration/hsm/pkcs11-shim.so\ntimeout = 2s|" "$PLANTCA_CONFIG"
rounds=0
# next: a folder of 60 requests, as $fleet, and where their chains go.
next() {
    rounds=$((rounds + 1))
    fleet=$WORK/fleet$rounds out=$WORK/certs$rounds
    "$PC_BUILD/tests/bench/requests" "$fleet" 60
    rm -f "$SHIM_LOG"
}
batch() { timeout -k 1 60 env "$@" "$PLANTCA" sign --batch "$fleet" -o "$out" --json; }
logins() { grep -c '^C_Login ' "$SHIM_LOG"; }
on_record() { sqlite3 state/ledger.db "SELECT count(*) FROM certificate WHERE profile = 'device' AND state = '$1'"; }
# rest DESCRIPTION: the next run, with a token that is well, does what is left.
rest() {
    local before
    before=$(find "$out" -name '*.crt' | wc -l)
    check "$1: run again" batch SHIM_NONE=1
    json "$1: the rest is issued" "d['already'] == $before and d['issued'] == 60 - $before"
    same "$(find "$out" -name '*.crt' | wc -l)" 60 "$1: every plant has its chain"
    same "$(on_record current)" $((60 * rounds)) "$1: and one current certificate"
    same "$(on_record signing)$(on_record void)" 00 "$1: nothing is left begun, or had to be given up"
}

next
check "the token vanishes once" batch SHIM_GONE=C_Sign:20:0x32
json "all are issued" 'd["issued"] == 60'
same "$(logins)" 2 "with one login more"
rest "it vanished once"

next
expect 4 "the token vanishes twice" batch SHIM_GONE=C_Sign:20:0x32,C_Sign:5:0x32
json "the batch stops" 'd["error"]["name"] == "token-lost" and 0 < d["issued"] < 60 and d["issued"] + d["pending"] == 60'
json "the receipt is written, and not signed" 'd["receipt"] and d["signature"] is None and len(lines) == 61'
same "$(logins)" 2 "the PIN is not tried a third time"
rest "it vanished twice"

next
expect 4 "a session that is gone, every time" batch SHIM_FAIL=C_Sign:0:0xb3
json "the batch stops" 'd["error"]["code"] == 4 and d["issued"] == 0'
rest "its sessions were gone"

next
begun=$(date +%s)
expect 4 "C_Sign hangs" batch SHIM_HANG=C_Sign:20
json "the batch stops" 'd["error"]["name"] == "token-timeout" and d["issued"] + d["pending"] + d["failed"] == 60'
same "$(($(date +%s) - begun < 20))" 1 "in time"
rest "it hung"

next
expect 1 "one wrong signature" batch SHIM_WRONG=C_Sign:20
json "fails its item alone" 'd["failed"] == 1 and d["issued"] == 59'
rest "one was wrong"

next
expect 1 "wrong signatures" batch SHIM_WRONG=C_Sign:0
json "stop the batch" 'd["failed"] >= 2 and d["issued"] == 0 and d["pending"] >= 50'
rest "they were wrong"
finish
