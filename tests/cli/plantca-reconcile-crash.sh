#!/usr/bin/env bash
# plantca reconcile after a process was killed at the token: what it finishes, what it gives up, what it leaves to who is at it.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
need sqlite3 p11tool
UUID1=a1b2c3d4-0000-4000-8000-000000000001
UUID2=a1b2c3d4-0000-4000-8000-000000000002
UUID3=a1b2c3d4-0000-4000-8000-000000000003
UUID4=a1b2c3d4-0000-4000-8000-000000000004
ca_start
cd "$WORK" || exit 1
export SHIM_MODULE=$SOFTHSM_MODULE
sed "s|^module .*|module = $PC_BUILD/tests/integration/hsm/pkcs11-shim.so|" "$PLANTCA_CONFIG" >shim.conf
for n in 1 2 3 4; do
    uuid="UUID$n"
    new_csr "${!uuid}" "$n.key" "$n.csr"
done
reconcile() { "$PLANTCA" reconcile --json "$@"; }
sign() { "$PLANTCA" sign -q --plant "$@"; }
# killed COMMAND…: it dies in its first signature.
killed() {
    expect 137 "killed: plantca $1" env SHIM_KILL=C_Sign:1:before "$PLANTCA" "$@" -c shim.conf
}
ask() { sqlite3 state/ledger.db "$1"; }
state_of() { ask "SELECT group_concat(state, ' ') FROM (SELECT state FROM certificate WHERE subject = '$1' ORDER BY id)"; }
begun() { ask "SELECT lower(hex(serial)) FROM certificate WHERE state = 'signing'"; }

killed sign --plant "$UUID1" 1.csr
serial=$(begun)
check "status" "$PLANTCA" status --json
json "warns of it" 'd["certificates"]["unfinished"] == 1 and d["to_reconcile"] >= 1 and any("plantca reconcile" in w for w in d["warnings"])'
check "-n" reconcile -n -c "$(without_token)"
json "says what would be done" '[(s["what"], s["did"]) for s in d["steps"]][0] == ("certificate", "finished")'
same "$(state_of "$UUID1")" signing "and does nothing"
check "reconcile" reconcile
json "finishes what was begun" 'd["steps"][0] == {"what": "certificate", "name": "'"$serial"'", "subject": "'"$UUID1"'", "did": "finished"} and d["crl_number"] is None'
check "the same certificate" sign "$UUID1" 1.csr -o 1.crt
same "$(serial_of 1.crt)" "$serial" "is given when it is asked for again"

new_csr mqtt.example.com broker.key broker.csr
killed broker --csr broker.csr --cn mqtt.example.com
serial=$(begun)
{ cat "$PLANTCA_CONFIG" && printf '[broker]\nsan = DNS:other.example.com\n'; } >other.conf
check "reconcile, where other names would be certified today" reconcile -c other.conf
json "gives it up, and lists it" '{(s["what"], s["did"]) for s in d["steps"]} >= {("certificate", "voided"), ("crl", "made")} and d["crl_number"] == 2'
check "the CRL" openssl crl -in state/ca.crl -noout -text
said "Serial Number: 0*${serial^^}" "lists what may have been signed"
same "$(state_of mqtt.example.com)" void "it is void"
check "the broker gets another" "$PLANTCA" broker -q --csr broker.csr --cn mqtt.example.com -o broker.crt

new_csr "$UUID1" another.key another.csr
killed sign --plant "$UUID1" another.csr --replace "$(serial_of 1.crt)"
check "reconcile, where another key was to take over" reconcile
json "leaves that to be ordered again" '("certificate", "voided") in [(s["what"], s["did"]) for s in d["steps"]]'
same "$(state_of "$UUID1")" "current void" "the current certificate stays"

# Who lives is left alone, however long the token takes.
SHIM_LOG=$WORK/calls SHIM_DELAY=C_Sign:4000 "$PLANTCA" sign -q --plant "$UUID3" 3.csr -o 3.crt -c shim.conf &
pid=$!
PIDS+=("$pid")
some_begun() { [ -n "$(begun)" ]; }
wait_for 30 some_begun
check "reconcile, while another process signs" reconcile
json "leaves it" 'd["left"] == 1 and [(s["name"], s["did"]) for s in d["steps"]] == [("'"$(begun)"'", "left")]'
wait "$pid"
same "$?" 0 "which comes to its end"
same "$(state_of "$UUID3")" current "with its certificate"

killed crl
same "$(ask 'SELECT count(*) FROM crl WHERE der IS NULL')" 1 "a CRL's number is taken, and no CRL was made"
before=$(ask 'SELECT max(number) FROM crl')
check "reconcile" reconcile
json "makes the next" "d['crl_number'] == $before + 1 and ('crl', 'made') in [(s['what'], s['did']) for s in d['steps']]"

{ cat "$PLANTCA_CONFIG" && printf '[device]\nrenew-window = 1000d\noverlap = 1d\n'; } >eager.conf
check "a successor" "$PLANTCA" sign -q -c eager.conf --plant "$UUID3" 3.csr --renew -o 3b.crt
check "reconcile, before the overlap ends" reconcile
json "has nothing to do" 'd["steps"] == []'
check "two days later" days_later 2 "$PLANTCA" reconcile --json
json "the predecessor is revoked" '("crl", "made") in [(s["what"], s["did"]) for s in d["steps"]]'
same "$(state_of "$UUID3")" "revoked current" "and its successor current"
check "the clock, back again" reconcile --accept-loss "test"
check "audit verify" "$PLANTCA" audit verify --json --crl state/ca.crl
json "finds the record sound" 'd["sound"] and d["checkpoints"] >= 4'

# The audit key is gone from the token.
p11tool --provider "$SOFTHSM_MODULE" --batch --login --set-pin=246810 --delete "pkcs11:token=voke-ca;object=plantca-audit" >p11 2>&1
expect 5 "without the audit key nothing is signed" sign "$UUID4" 4.csr --json
json "and the way out is told" 'd["error"]["name"] == "key-missing" and "--accept-loss" in d["error"]["message"]'
check "reconcile --accept-loss" reconcile --accept-loss "token was restored"
json "makes another" '[s["did"] for s in d["steps"] if s["what"] == "key"] == ["retired", "made"] and d["crl_number"]'
same "$(state_of plantca-audit)" "revoked current" "the old one's certificate is revoked"
check "sign" sign "$UUID4" 4.csr -o 4.crt
check "audit verify" "$PLANTCA" audit verify --json
json "believes what the old one vouched for" 'd["sound"]'
cp -a state forged
/usr/bin/python3 - <<'PY'
import sqlite3
db = sqlite3.connect("forged/ledger.db")
for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
    db.execute("DROP TRIGGER " + name)
cms = db.execute("SELECT statement, cms FROM checkpoint ORDER BY id LIMIT 1").fetchone()
db.execute("UPDATE checkpoint SET statement = ?, cms = ? WHERE id = (SELECT max(id) FROM checkpoint)", cms)
db.commit()
PY
expect 5 "an old statement in a new one's place" "$PLANTCA" audit verify --json --state "$WORK/forged"
json "is found" '{"checkpoint-row", "checkpoint-missing"} <= {f["rule"] for f in d["faults"]}'
check "status" "$PLANTCA" status --json
json "is well" 'd["to_reconcile"] == 0 and d["certificates"]["unfinished"] == 0'
finish
