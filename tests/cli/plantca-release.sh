#!/usr/bin/env bash
# plantca release: what was held is as it was before, and on no CRL.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
release() { "$PLANTCA" release "$@"; }
for i in 1 2; do
    uuid=UUID$i
    new_csr "${!uuid}" "$i.key" "$i.csr"
    "$PLANTCA" sign -q --plant "${!uuid}" "$i.csr" -o "$i.crt"
done
new_csr "$UUID1" next.key next.csr
"$PLANTCA" sign -q --plant "$UUID1" --replace "$(serial_of 1.crt)" next.csr -o next.crt 2>/dev/null
listed() { openssl crl -in state/ca.crl -noout -text | grep -ci "Serial Number: $(serial_of "$1")"; }
state() { "$PLANTCA" show "$(serial_of "$1")" --json | /usr/bin/python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["state"])'; }
number() { openssl crl -in state/ca.crl -noout -crlnumber; }

before=$(number)
check "when none is held, no PIN is asked for" release --plant "$UUID1" --json -c "$(without_token)"
json "nothing is done" 'd["released"] == [] and d["already"] == 2'
same "$(number)" "$before" "and no CRL is made"
expect 5 "a plant that is not on record" release --plant b2c3d4e5-0000-4000-8000-000000000009
"$PLANTCA" hold -q --plant "$UUID1"
"$PLANTCA" hold -q --plant "$UUID2"
same "$(listed 1.crt) $(listed next.crt) $(listed 2.crt)" "1 1 1" "held ones are on the CRL"
check "--dry-run, without a token" release -n --plant "$UUID1" --json -c "$(without_token)"
json "tells what would be released" 'len(d["released"]) == 2'
same "$(listed 1.crt)" 1 "and releases nothing"
check "release" release --plant "$UUID1" --json
json "tells what is released, and the new CRL" 'len(d["released"]) == 2 and d["crl"]["entries"] == 1'
same "$(listed 1.crt) $(listed next.crt) $(listed 2.crt)" "0 0 1" "it is on the CRL no longer"
same "$(state 1.crt) $(state next.crt)" "superseded current" "each is what it was before"
check "publish" "$PLANTCA" publish -q
check "brokers accept it" openssl verify -crl_check -CAfile published/ca/ca.crt -CRLfile published/ca/ca.crl next.crt
check "the same certificate is given again" "$PLANTCA" sign --plant "$UUID1" next.csr --json
json "as before" 'd["already"]'

"$PLANTCA" hold -q --plant "$UUID1"
echo 135791 >wrong
chmod 600 wrong
before=$(number)
expect 3 "a release with a wrong PIN" release --plant "$UUID1" --pin-file "$WORK/wrong"
one_line "says so"
expect 4 "and one without a token" release --plant "$UUID1" -c "$(without_token)"
cp state/ca.crl kept.crl
ledger_keep newer
"$PLANTCA" crl -q
cp state/ca.crl newer/ca.crl
ledger_back newer
expect 5 "and one on a ledger that is older than its CRL" release --plant "$UUID1" --json
json "by name" 'd["error"]["name"] == "restore-crl" and "released" not in d'
cp kept.crl state/ca.crl
same "$(state 1.crt) $(state next.crt) $(number)" "held held $before" "release nobody"
expect 4 "a release for which no CRL could be made" unsigning "$PLANTCA" release --plant "$UUID1" --json
json "is on record, and says so" 'len(d["released"]) == 2 and d["crl"] is None and d["error"]["message"].startswith("on record, but no CRL was made")'
expect 4 "is not passed over by publish, without the token" "$PLANTCA" publish -c "$(without_token)"
check "and with it" "$PLANTCA" publish -q
same "$(listed next.crt)" 0 "is on a new CRL"
"$PLANTCA" revoke -q --serial "$(serial_of 2.crt)"
expect 5 "what is revoked is never released" release --serial "$(serial_of 2.crt)" --json
json "by name" 'd["error"]["name"] == "release-revoked"'
finish
