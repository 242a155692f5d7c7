#!/usr/bin/env bash
# plantca pending: who waits, by UUID and fingerprint; strangers who fill the places.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
CLAIM=$(realpath "${1:?the program that asks as a signer does}")
ca_start
cd "$WORK" || exit 1
claim() { "$CLAIM" "$WORK/state" "$@"; }
pending() { "$PLANTCA" pending "$@"; }
allow() { "$PLANTCA" allow -q "$@"; }

check "nothing waits" pending
silent "is said by silence"
check "nor in JSON" pending --json
expect 2 "an operand" pending "$UUID1"
allow --plant "$UUID1" --pending
expect 5 "a plant that was not admitted" claim "$UUID2" k1
expect 6 "one that was" claim "$UUID1" k1
same "$(cat out)" admission-waiting "waits"
expect 6 "asking again" claim "$UUID1" k1 --from 10.0.0.8
expect 6 "another key" claim "$UUID1" k2 --from 'fe80::1%eth0'
check "both" pending --json -c "$(without_token)"
json "are held apart" 'len(lines) == 2 and lines[0]["key_sha256"] != lines[1]["key_sha256"] and all(x["plant"] == "'"$UUID1"'" for x in lines)'
json "with what is known of them" 'lines[1]["address"] == "fe80::1%eth0" and lines[0]["key_type"] == "ec:P-256" and lines[0]["state"] == "waiting" and lines[0]["times"] in (1, 2)'
check "for people" pending
same "$(grep -cE '^  [0-9a-f]{64}$' out) $(awk 'length > 80' out | wc -l)" "2 0" "with whole fingerprints in 80 columns"
same "$(grep -c "plantca approve" err)" 1 "with what to do next on stderr"
same "$(ledger_sql "SELECT json_extract(line, '\$.act', '\$.address') FROM audit WHERE line LIKE '%\"act\":\"wait\"%'" | tr '\n' ' ')" \
    '["wait","10.0.0.7"] ["wait","fe80::1%eth0"] ' "each key is in the audit log once, with the address that it came from"

# Eight places, and a stranger who takes them all. Whoever is on record keeps its place.
allow --plant "$UUID2" --pending
for i in $(seq 7); do claim "$UUID2" "stranger$i" >out 2>&1; done
expect 6 "the plant's own key, in the last place" claim "$UUID2" own
expect 5 "one more" claim "$UUID2" stranger9
same "$(cat out)" admission-full "is refused"
expect 6 "who is there" claim "$UUID2" own
same "$(ledger_sql "SELECT count(*) FROM waiting w JOIN admission a ON a.id = admission WHERE plant = '$UUID2'")" 8 "stays"
check "a code instead" allow --plant "$UUID2" --code
expect 5 "ends all that waited" claim "$UUID2" own
same "$(cat out)" admission-code "under it"
check "those" pending --json
json "wait no more" 'all(x["plant"] != "'"$UUID2"'" for x in lines)'

# However many come in whatever time, so many are put on record and no more.
allow --plant "$UUID2" --pending
for i in 1 2 3 4 5 6 7 8; do claim "$UUID2" "a$i" --keys 1 >>many 2>&1; ledger_sql "UPDATE waiting SET last_at = last_at - 601 WHERE state = 'waiting'"; done
same "$(grep -c admission-waiting many)" 8 "places that nobody asked for lately are free for others"
expect 5 "but not for ever" claim "$UUID2" a9 --keys 1
same "$(cat out)" admission-full "is refused, too"
expect 6 "who was on record long ago" claim "$UUID2" a1 --keys 1
check "the audit log" "$PLANTCA" audit verify --json
json "tells of all that" 'd["sound"]'
finish
