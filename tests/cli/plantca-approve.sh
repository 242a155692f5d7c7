#!/usr/bin/env bash
# plantca approve: one key of those that wait; while others write; four operators at once.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
CLAIM=$(realpath "${1:?the program that asks as a signer does}")
ca_start
cd "$WORK" || exit 1
claim() { "$CLAIM" "$WORK/state" "$@"; }
approve() { "$PLANTCA" approve "$@"; }
hash_of() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
acts() { ledger_sql "SELECT count(*) FROM audit WHERE line LIKE '%\"act\":\"$1\"%'"; }
k1=$(hash_of k1) k2=$(hash_of k2)

expect 2 "a UUID alone" approve "$UUID1"
expect 2 "a UUID that is none" approve x "$k1"
expect 2 "a fingerprint that is none" approve "$UUID1" "${k1%?}g"
expect 2 "one that is too long" approve "$UUID1" "${k1}00"
expect 2 "one that is too short" approve "$UUID1" "${k1:0:15}"
expect 5 "a plant that nobody admitted" approve "$UUID1" "$k1" --json
json "by name" 'd["error"]["name"] == "approve-unknown"'
"$PLANTCA" allow -q --plant "$UUID1" --pending
expect 5 "a key that did not ask" approve "$UUID1" "$k1"
claim "$UUID1" k1 >out 2>&1; claim "$UUID1" k2 >out 2>&1
# Two fingerprints that begin alike.
claim "$UUID1" "${k2:0:20}${k1:20}" >out 2>&1
expect 5 "half a fingerprint that two keys have" approve "$UUID1" "${k2:0:20}" --json
json "by name" 'd["error"]["name"] == "approve-ambiguous"'
expect 5 "a key of another plant" approve "$UUID2" "$k2"
check "the second key, without a token" approve "$UUID1" "$(sed 's/../&:/g; s/:$//' <<<"${k2^^}")" --json -c "$(without_token)"
json "is approved" 'd["key_sha256"] == "'"$k2"'" and d["state"] == "approved" and d["by"]'
check "again" approve "$UUID1" "$k2"
same "$(acts approve)" 1 "is told once"
expect 5 "the first key, too" approve "$UUID1" "$k1" --json
json "by name" 'd["error"]["name"] == "admission-key"'
check "the PLC asks again" claim "$UUID1" k2 --use
check "and again" claim "$UUID1" k2 --use
expect 5 "the other one" claim "$UUID1" k1
same "$(cat out)" admission-key "does not get in"
expect 5 "nor a third" claim "$UUID1" k3
check "nothing waits" "$PLANTCA" pending
silent "any more"
same "$(ledger_sql "SELECT json_extract(line, '\$.key_sha256') FROM audit WHERE line LIKE '%\"act\":\"approve\"%'")" "$k2" "the audit log names the key"

"$PLANTCA" allow -q --plant "$UUID2" --pending
claim "$UUID2" k4 >out 2>&1
expect 5 "when it is too late" days_later 2 "$PLANTCA" approve "$UUID2" "$(hash_of k4)" --json
json "by name" 'd["error"]["name"] == "admission-expired"'
expect 5 "the PLC" days_later 2 "$CLAIM" state "$UUID2" k4
same "$(cat out)" admission-expired "hears the same"

# Forty approvals while another process signs, from four operators at once.
u() { printf 'b1b2c3d4-0000-4000-8000-%012d' "$1"; }
for i in $(seq 40); do echo "$(u "$i"),pending"; done >shift.csv
"$PLANTCA" allow -q --import shift.csv >out
for i in $(seq 40); do claim "$(u "$i")" "plc$i" >out 2>&1; done
runs=()
for n in 0 1 2 3; do
    (for i in $(seq 40); do [ $((i % 4)) = "$n" ] && { "$PLANTCA" approve -q "$(u "$i")" "$(hash_of "plc$i")" || echo "$i" >>failed; }; done) &
    runs+=($!)
done
new_csr "$UUID2" two.key two.csr
check "a certificate meanwhile" "$PLANTCA" sign -q --plant "$UUID2" two.csr -o two.crt
wait "${runs[@]}"
runs=()
check "none failed" test ! -e failed
same "$(ledger_sql "SELECT count(*) FROM waiting w JOIN admission a ON a.id = w.admission WHERE w.state = 'approved' AND a.key = w.key") $(acts approve)" \
    "41 41" "each is on record once"
# Two operators, two keys of one plant: one of them is approved.
"$PLANTCA" allow -q --plant "$(u 200)" --pending
claim "$(u 200)" left >out 2>&1; claim "$(u 200)" right >out 2>&1
for k in left right; do (approve "$(u 200)" "$(hash_of $k)" >/dev/null 2>&1; echo $? >>codes) & runs+=($!); done
wait "${runs[@]}"
runs=()
same "$(sort codes | tr '\n' ' ')" "0 5 " "of two at once one is approved"
check "the audit log" "$PLANTCA" audit verify --json
json "tells of all that" 'd["sound"]'

# Who edits the ledger past its triggers is found out by the audit log, which tells another story.
edited() {
    ledger_keep "before$1"
    ledger_forge "$3"
    expect 5 "$2" "$PLANTCA" audit verify --json
    json "is found: $1" 'any(f["rule"] == "'"$1"'" for f in d["faults"])'
    ledger_back "before$1"
}
edited approval-untold "a key that is approved by nobody" "UPDATE waiting SET state = 'approved', decided_at = 1, decided_by = 'x' WHERE admission = 1 AND state = 'waiting'"
edited waiting-untold "a key that never asked" "INSERT INTO waiting (admission, key, key_type, address, state, first_at, last_at, times) SELECT 2, randomblob(32), 'ec:P-256', 'x', 'waiting', 1, 1, 1"
edited admission-untold "a plant that nobody admitted" "INSERT INTO admission (plant, proof, state, code, made_at, expires_at, made_by) VALUES ('b1b2c3d4-0000-4000-8000-000000000999', 'code', 'open', randomblob(32), 1, 9999999999, 'x')"
edited admission-key "another key in the place of the approved one" "UPDATE admission SET key = randomblob(32) WHERE id = 1"
edited admission-state "a denial undone, or made" "UPDATE admission SET state = 'denied', decided_at = 1 WHERE id = 1"
edited admission-differs "a term that was made longer" "UPDATE admission SET expires_at = 9999999999 WHERE id = 1"
edited denial-untold "a key that nobody denied" "UPDATE waiting SET state = 'denied', decided_at = 1, decided_by = 'x' WHERE admission = 1 AND state = 'waiting'"
edited admission-missing "an admission that was taken away" "DELETE FROM waiting WHERE admission = 2; DELETE FROM admission WHERE id = 2"
finish
