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
expect 2 "a reason that is none" revoke --plant "$UUID1" --reason stolen
said "'stolen' is no revocation reason: it is one of unspecified, keyCompromise, " "says which there are"
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

check "by plant" revoke --plant "$UUID1" --reason keycompromise --json
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
expect 4 "without a token" revoke --cert new.crt -c "$(without_token)"
said "^Revoked: $(serial_of new.crt)" "is on record"
said 'on record, but no CRL was made of it \(run plantca crl' "but on no CRL, and says so"
same "$(listed new.crt)" 0 "which is so"
check "by certificate, DER on standard input" piped
same "$(listed new.crt)" 1 "it is on the CRL"
same "$(openssl crl -in state/ca.crl -noout -text | grep -c 'Invalidity Date')" 0 "none of these said since when"

expect 2 "--invalid-since that is no time" revoke --plant "$UUID1" --invalid-since yesterday
expect 2 "--invalid-since in the future" revoke --plant "$UUID1" --invalid-since 2999-01-01T00:00:00Z
new_csr "$UUID2" three.key three.csr
"$PLANTCA" sign -q --plant "$UUID2" three.csr -o three.crt
check "--invalid-since" revoke --cert three.crt --reason keyCompromise --invalid-since 2026-01-02T03:04:05Z
check "stands on the CRL" grep -q 'Jan  2 03:04:05 2026' <(openssl crl -in state/ca.crl -noout -text)

# A record that was put back to before an issuance: our key signed what is not on record.
ledger_keep before
UUID5=a1b2c3d4-0000-4000-8000-000000000005
new_csr "$UUID5" five.key five.csr
"$PLANTCA" sign -q --plant "$UUID5" five.csr -o five.crt
ledger_back before
check "--dry-run of a certificate of ours on no record" revoke -n --cert five.crt --json -c "$(without_token)"
json "tells an incident" 'd["incident"] and len(d["revoked"]) == 1'
same "$(listed five.crt)" 0 "and revokes nothing"
check "revoking it" revoke --cert five.crt --json
json "records it as an incident" 'd["incident"] and d["revoked"][0]["state"] == "revoked" and any("incident" in w for w in d["warnings"])'
same "$(listed five.crt)" 1 "it is on the CRL"
check "again" revoke --cert five.crt --json
json "is done already" 'd["already"] == 1 and not d["incident"]'
expect 5 "its key" "$PLANTCA" sign --plant "$UUID5" five.csr --json
json "never gets another" 'd["error"]["name"] == "identity-revoked"'
ledger_keep before
UUID9=a1b2c3d4-0000-4000-8000-000000000009
new_csr "$UUID9" nine.key nine.csr
"$PLANTCA" sign -q --plant "$UUID9" nine.csr -o lost.crt
ledger_back before
"$PLANTCA" sign -q --plant "$UUID9" nine.csr -o nine.crt
check "one of a key that has another certificate" revoke --cert lost.crt --json
json "takes that along" 'd["incident"] and len(d["revoked"]) == 2 and all(c["state"] == "revoked" for c in d["revoked"])'
same "$(listed lost.crt)$(listed nine.crt)" 11 "both are on the CRL"

# Another certificate with a serial of ours, signed by our key: ECDSA signatures have a second form, (r, n - s).
UUID6=a1b2c3d4-0000-4000-8000-000000000006
new_csr "$UUID6" six.key six.csr
"$PLANTCA" sign -q --plant "$UUID6" six.csr -o six.crt
openssl x509 -in six.crt -outform DER -out six.der
/usr/bin/python3 - six.der twin.der <<'PY'
import sys
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
def element(data, at):
    length, head = data[at + 1], 2
    if length & 0x80:
        head += length & 0x7F
        length = int.from_bytes(data[at + 2:at + head], "big")
    return at + head, at + head + length
def make(tag, body):
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + body
def number(value):
    return make(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))
data = open(sys.argv[1], "rb").read()
start, _ = element(data, 0)
_, tbs = element(data, start)
_, algorithm = element(data, tbs)
body, _ = element(data, algorithm)
inner, _ = element(data, body + 1)
r, r_end = element(data, inner)
s, s_end = element(data, r_end)
signature = make(0x30, data[inner:r_end] + number(N - int.from_bytes(data[s:s_end], "big")))
open(sys.argv[2], "wb").write(make(0x30, data[start:algorithm] + make(3, b"\0" + signature)))
PY
check "a twin that verifies" openssl verify -CAfile state/ca.crt <(openssl x509 -inform DER -in twin.der)
expect 5 "a twin of a certificate of ours" revoke --cert twin.der --json
json "is refused, with what to do" 'd["error"]["name"] == "revoke-twin" and "--serial" in d["error"]["message"]'
same "$(listed six.crt)" 0 "its namesake is left alone"
check "the audit log has it as an incident" grep -q revoke-twin <(ledger_sql "SELECT line FROM audit")
check "the serial" revoke --serial "$(serial_of six.crt)"
check "the twin then" revoke --cert twin.der --json
json "is stopped with it" 'd["already"] == 1 and d["incident"]'

# A renewed certificate has the key of its predecessor, which stays valid for the overlap.
UUID7=a1b2c3d4-0000-4000-8000-000000000007
new_csr "$UUID7" seven.key seven.csr
"$PLANTCA" sign -q --plant "$UUID7" seven.csr -o first.crt
later() { days_later 700 "$PLANTCA" "$@"; }
check "a renewal, with the same key" later sign -q --plant "$UUID7" --renew seven.csr -o second.crt
check "its serial" later revoke --serial "$(serial_of second.crt)" --reason keyCompromise --json
json "reaches what the thief of the key has, too" 'sorted(c["serial"] for c in d["revoked"]) == sorted(["'"$(serial_of first.crt)"'", "'"$(serial_of second.crt)"'"])'
same "$(listed first.crt) $(listed second.crt)" "1 1" "both are on the CRL"
finish
