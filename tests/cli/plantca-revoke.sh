#!/usr/bin/env bash
# plantca revoke: by plant, serial or certificate; recorded once, on the CRL at once.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
revoke() { "$PLANTCA" revoke "$@"; }
new_csr "$UUID1" one.key one.csr
new_csr "$UUID2" two.key two.csr
"$PLANTCA" sign -q --plant "$UUID1" one.csr -o one.crt
"$PLANTCA" sign -q --plant "$UUID2" two.csr -o two.crt
openssl req -x509 -key one.key -subj "/CN=$UUID1" -set_serial "0x$(serial_of two.crt)" -out foreign.crt
listed() { openssl crl -in state/ca.crl -noout -text | grep -ci "Serial Number: $(serial_of "$1")"; }
number() { openssl crl -in state/ca.crl -noout -crlnumber; }
before=$(number)

expect 2 "nothing chosen" revoke
expect 2 "two ways at once" revoke --plant "$UUID1" --serial 01
expect 2 "a UUID that is none" revoke --plant x
expect 2 "a serial that is none" revoke --serial xyz
expect 2 "a reason that is none" revoke --plant "$UUID1" --reason anger
expect 2 "a reason for delta CRLs only" revoke --plant "$UUID1" --reason removeFromCRL
expect 2 "a reason that can be taken back" revoke -n --plant "$UUID1" --reason certificateHold
expect 5 "a plant that is not on record" revoke --plant b2c3d4e5-0000-4000-8000-000000000009 --json
json "is refused by name" 'd["error"]["name"] == "revoke-unknown"'
expect 5 "a serial that is not on record" revoke --serial 0123456789
expect 5 "a foreign certificate with a serial of ours" revoke --cert foreign.crt
echo rubbish >rubbish.crt
expect 5 "a file that is no certificate" revoke --cert rubbish.crt
expect 1 "a file that is not there" revoke --cert none.crt
check "--dry-run without a token" revoke -n --plant "$UUID1" --json -c "$(without_token)"
json "tells what would be revoked" 'd["dry_run"] and [c["serial"] for c in d["revoked"]] == ["'"$(serial_of one.crt)"'"]'
check "--dry-run by certificate" revoke -n --cert two.crt
said "Would be revoked: $(serial_of two.crt)" "tells it to people"
expect 5 "--dry-run of a foreign certificate" revoke -n --cert foreign.crt
same "$(number) $(listed one.crt) $(listed two.crt)" "$before 0 0" "nothing of this made a CRL or an entry"

check "by plant" revoke --plant "$UUID1" --reason keyCompromise --json
json "tells what was revoked, and the new CRL" \
    'len(d["revoked"]) == 1 and d["revoked"][0]["reason"] == "keyCompromise" and d["crl"]["entries"] == 1 and d["already"] == 0'
same "$(listed one.crt)" 1 "it is on the CRL"
check "the CRL verifies" openssl crl -in state/ca.crl -CAfile state/ca.crt -noout
expect 2 "the certificate does not, any more" openssl verify -crl_check -CAfile state/ca.crt -CRLfile state/ca.crl one.crt
check "the other does" openssl verify -crl_check -CAfile state/ca.crt -CRLfile state/ca.crl two.crt
after=$(number)
check "again" revoke --plant "$UUID1" --json
json "is done already" 'd["revoked"] == [] and d["already"] == 1'
same "$(number)" "$after" "and makes no CRL"
check "by serial, with colons and in upper case" revoke --serial "$(serial_of two.crt | tr a-f A-F | sed 's/../&:/g; s/:$//')"
said 'publish' "tells what is next"
same "$(listed two.crt)" 1 "it is on the CRL"
expect 5 "the revoked key" "$PLANTCA" sign --plant "$UUID1" one.csr --json
json "never gets another" 'd["error"]["name"] == "identity-revoked"'
new_csr "$UUID1" new.key new.csr
check "a new key for that plant" "$PLANTCA" sign -q --plant "$UUID1" new.csr -o new.crt
piped() { openssl x509 -in new.crt -outform DER | revoke --cert -; }
check "by certificate, DER on standard input" piped
same "$(listed new.crt)" 1 "it is on the CRL"
finish
