#!/usr/bin/env bash
# plantca deny: a key, or a plant with all that wait; never taken back.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
CLAIM=$(realpath "${1:?the program that asks as a signer does}")
ca_start
cd "$WORK" || exit 1
claim() { "$CLAIM" "$WORK/state" "$@"; }
deny() { "$PLANTCA" deny "$@"; }
hash_of() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
k1=$(hash_of k1) k2=$(hash_of k2)

expect 2 "nobody" deny
expect 2 "a UUID that is none" deny x
expect 2 "a fingerprint that is none" deny "$UUID1" xyz
expect 2 "an empty note" deny "$UUID1" --note ''
expect 5 "a plant that nobody admitted" deny "$UUID1" --json
json "by name" 'd["error"]["name"] == "admission-none"'
"$PLANTCA" allow -q --plant "$UUID1" --pending
claim "$UUID1" k1 >out 2>&1; claim "$UUID1" k2 >out 2>&1; claim "$UUID1" k3 >out 2>&1
expect 5 "a key that did not ask" deny "$UUID1" "$(hash_of k9)" --json
json "by name" 'd["error"]["name"] == "approve-unknown"'
check "one key, without a token" deny "$UUID1" "$k1" --json -c "$(without_token)" --note 'a stranger'
json "is denied" 'd["denied"] == 1 and d["key_sha256"] == "'"$k1"'"'
check "again" deny "$UUID1" "$k1" --json
json "changes nothing" 'd["denied"] == 0'
same "$(ledger_sql "SELECT json_extract(line, '\$.note', '\$.key_sha256') FROM audit WHERE line LIKE '%\"act\":\"deny\"%'")" "[\"a stranger\",\"$k1\"]" \
    "it is told once, with the note"
expect 5 "that key" claim "$UUID1" k1
same "$(cat out)" admission-denied "is refused"
expect 5 "and never approved" "$PLANTCA" approve "$UUID1" "$k1" --json
json "by name" 'd["error"]["name"] == "admission-denied"'
expect 6 "the others" claim "$UUID1" k2
check "all of them" deny "$UUID1" --json
json "are denied" 'd["denied"] == 2 and d["key_sha256"] is None'
expect 5 "one of them" claim "$UUID1" k2
same "$(cat out)" admission-denied "is refused, too"
expect 5 "a new one" claim "$UUID1" k4
same "$(cat out)" admission-denied "as well"
expect 5 "none is approved any more" "$PLANTCA" approve "$UUID1" "$k2"
check "again" deny "$UUID1"
"$PLANTCA" allow -q --plant "$UUID1" --pending
expect 6 "admitted anew" claim "$UUID1" k2
check "approved" "$PLANTCA" approve -q "$UUID1" "$k2"
check "and denied all the same" deny "$UUID1" "$k2"
expect 5 "the key" claim "$UUID1" k2
same "$(cat out)" admission-denied "is refused"
"$PLANTCA" allow -q --plant "$UUID2" --code -o code
check "a code that was used" claim "$UUID2" k5 "$(cat code)" --use
check "is denied" deny "$UUID2" --json
json "with no key that waits" 'd["denied"] == 0'
expect 5 "its key" claim "$UUID2" k5 "$(cat code)"
same "$(cat out)" admission-denied "gets nothing more"
expect 5 "and who does not know the code" claim "$UUID2" k5 WRONG
same "$(cat out)" admission-code-wrong "does not even hear of that"
check "the audit log" "$PLANTCA" audit verify --json
json "tells of all that" 'd["sound"]'
finish
