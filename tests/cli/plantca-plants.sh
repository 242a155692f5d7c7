#!/usr/bin/env bash
# plantca plants: admission, certificate, what waits, a line a plant.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
CLAIM=$(realpath "${1:?the program that asks as a signer does}")
ca_start
cd "$WORK" || exit 1
claim() { "$CLAIM" "$WORK/state" "$@"; }
plants() { "$PLANTCA" plants "$@"; }
UUID3=a1b2c3d4-0000-4000-8000-000000000003

check "none" plants
silent "is said by silence"
expect 2 "a UUID that is none" plants x
expect 5 "one that nobody knows" plants "$UUID1" --json
json "by name" 'd["error"]["name"] == "record-unknown"'
new_csr "$UUID3" three.key three.csr
"$PLANTCA" sign -q --plant "$UUID3" three.csr -o three.crt
"$PLANTCA" allow -q --plant "$UUID2" --code >code
"$PLANTCA" allow -q --plant "$UUID1" --code >code1
"$PLANTCA" allow -q --plant "$UUID1" --pending
claim "$UUID1" k1 >out 2>&1; claim "$UUID1" k2 >out 2>&1
check "three" plants --json -c "$(without_token)"
json "by UUID" '[x["plant"][-1] for x in lines] == ["1", "2", "3"]'
json "the first waits" 'lines[0]["admission"] == "open" and lines[0]["proof"] == "pending" and lines[0]["waiting"] == 2 and lines[0]["serial"] is None'
json "the second has a code" 'lines[1]["proof"] == "code" and not lines[1]["bound"] and lines[1]["waiting"] == 0'
json "the third its certificate" 'lines[2]["admission"] is None and lines[2]["serial"] == "'"$(serial_of three.crt)"'" and not lines[2]["held"]'
check "for people" plants
same "$(wc -l <out) $(awk 'length > 80' out | wc -l)" "4 0" "a header and a line each in 80 columns"
check "the code is used" claim "$UUID2" k3 "$(cat code)" --use
"$PLANTCA" hold -q --plant "$UUID3"
"$PLANTCA" deny -q "$UUID1"
check "all" plants --json
json "as it is now" '[x["admission"] for x in lines] == ["denied", "used", None] and lines[2]["held"] and lines[1]["bound"] and lines[0]["waiting"] == 0'
check "one of them" plants "$UUID2" --json
json "alone" 'len(lines) == 1 and d["plant"] == "'"$UUID2"'"'
json "and who admitted it" 'd["by"].startswith("'"$(id -un)"'")'
check "for people" plants "$UUID2"
said "ADMITTED BY" "... with a column for it"
said "^$UUID2 +code, used .*$(id -un)" "... filled"
"$PLANTCA" revoke -q --plant "$UUID3"
expect 5 "a plant whose certificate is revoked" plants "$UUID3"
finish
