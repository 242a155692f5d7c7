#!/usr/bin/env bash
# plantca signer that loses what it signs with: token, PIN, ledger, its own life.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/station_signer.sh
. "${PC_SOURCE:?}/tests/lib/station_signer.sh"
need sqlite3
ca_start
cd "$WORK" || exit 1
settings_of_station
echo 'early-renewal = yes' >>"$PLANTCA_CONFIG"
for n in 1 2 3 4 5 6 7; do plant "$n"; done
export SHIM_MODULE=$SOFTHSM_MODULE SHIM_LOG=$WORK/calls
sed -i "s|^module .*|module = $PC_BUILD/tests/integration/hsm/pkcs11-shim.so\ntimeout = 2s|" "$PLANTCA_CONFIG"
again() { echo "reenrol,csr=@$1.csr.der,certificate=@$1.crt.der,save=$1.new"; }
# signs N: asked until it does not say "unavailable" any more
signs() {
    ask "$(again "$1")"
    ! grep -q ^unavailable "$WORK/out"
}
state() { sqlite3 state/ledger.db "SELECT group_concat(state) FROM (SELECT state FROM certificate WHERE subject = '$(uuid "$1")' ORDER BY id)"; }
health() {
    ask health
    sed 's/.* flags=\([0-9]\).*/\1/' "$WORK/out"
}
logins() { grep -c '^C_Login ' "$SHIM_LOG"; }

stop_signer() {
    kill "$SIGNER"
    signer_ended 0 "$1"
}
# once N: the plant has its successor, and nothing is left begun or given up
once() { same "$(state "$1")" superseded,current "$2: signed once, nothing left begun"; }

signer_start SHIM_GONE=C_Sign:1:0x32:1
answered "the token vanishes: to be asked again" unavailable unavailable "$(again 1)"
check "it comes back by itself" wait_for 20 signs 1
same "$(cut -d ' ' -f 1 out)" "done" "and the request that was in work is signed"
once 1 "it vanished"
same "$(grep -c 'warning: nothing can be signed' signer.log)" 1 "one alarm"
signer_said 'signing again' "and its end"
same "$(health)" 3 "its health is good again"
stop_signer "it ends well"

rm -f "$SHIM_LOG"
signer_start SHIM_GONE=C_Sign:1:0x32
answered "it vanishes for a moment" unavailable unavailable "$(again 2)"
check "and is back" wait_for 20 signs 2
second=$(grep -n '^C_Login ' "$SHIM_LOG" | sed -n '2s/:.*//p')
same "$(logins)" 2 "by one login more"
stop_signer "it ends well, too"
rm -f "$SHIM_LOG"
signer_start SHIM_GONE=C_Sign:1:0x32 "SHIM_FAIL=*:$second:0xa0"
answered "the PIN is refused when the token comes back" unavailable unavailable "$(again 3)"
signer_ended 3 "the end of it, with exit 3"
same "$(logins)" 2 "and no third login"
signer_start
answered "with the right PIN the request is taken up again" "done" - "$(again 3)"
once 3 "its PIN was refused"
stop_signer "it ended in between"

signer_start SHIM_HANG=C_Sign:1
begun=$(date +%s)
answered "the module hangs" unavailable unavailable "$(again 4)"
signer_ended 4 "the end of the process, with exit 4"
same "$(($(date +%s) - begun < 15))" 1 "in time"

for when in before after; do
    n=$([ $when = before ] && echo 5 || echo 6)
    signer_start SHIM_KILL=C_Sign:1:$when
    answered "killed $when it signs: the connection ends" closed - "$(again "$n")"
    signer_ended 137 "killed $when it signs"
    signer_start
    check "the next one replaces the socket that was left" test -S signer.sock
    answered "killed $when it signs: asked again" "done" - "$(again "$n")"
    once "$n" "killed $when it signed"
    same "$(sqlite3 state/ledger.db "SELECT count(*) FROM audit WHERE line LIKE '%\"act\":\"finish\"%$(uuid "$n")%'")" 1 \
        "what was begun was finished"
    stop_signer "and ends"
done

# Another writer that does not let go of the ledger.
cat >hold.py <<'PY'
import sqlite3, sys, os, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
open("held", "w").close()
while os.path.exists("held"):
    time.sleep(0.05)
PY
signer_start
/usr/bin/python3 hold.py state/ledger.db &
PIDS+=($!)
wait_for 10 test -e held
answered "the ledger is locked" unavailable unavailable "$(again 7)"
same "$(health)" 0 "its health says so"
answered "what needs no ledger is answered" "done" - trust
rm held
check "it comes back by itself" wait_for 20 signs 7
once 7 "the ledger was locked"
kill "$SIGNER"
signer_ended 0 "and ends"
check "the audit log is sound" "$PLANTCA" audit verify
finish
