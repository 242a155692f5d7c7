#!/usr/bin/env bash
# plantca reconcile: what a crash left is finished or void; a restored ledger signs nothing until that is accepted.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
UUID1=a1b2c3d4-0000-4000-8000-000000000001
UUID2=a1b2c3d4-0000-4000-8000-000000000002
UUID3=a1b2c3d4-0000-4000-8000-000000000003
ca_start
cd "$WORK" || exit 1
reconcile() { "$PLANTCA" reconcile "$@"; }
sign() { "$PLANTCA" sign -q --plant "$@"; }
for n in 1 2 3; do
    uuid="UUID$n"
    new_csr "${!uuid}" "$n.key" "$n.csr"
done
check "where nothing is to be done" reconcile --json -c "$(without_token)"
json "nothing is" 'd["steps"] == [] and d["left"] == 0 and d["crl_number"] is None'
sign "$UUID1" 1.csr -o 1.crt
"$PLANTCA" publish -q
expect 2 "a reason that is none" reconcile --accept-loss " "
expect 2 "an operand" reconcile now

rm state/ca.crl
check "-n, with a file missing" reconcile -n --json -c "$(without_token)"
json "says so" '[s["what"] for s in d["steps"]] == ["file"] and d["dry_run"]'
expect 1 "and writes nothing" test -e state/ca.crl
check "reconcile" reconcile --json
json "writes it" 'd["steps"][0]["did"] == "written"'
check "from the record" cmp state/ca.crl published/ca/ca.crl

# A backup is restored.
ledger_keep backup
sign "$UUID2" 2.csr -o 2.crt
"$PLANTCA" revoke -q --plant "$UUID1" --reason keyCompromise
"$PLANTCA" revoke -q --plant "$UUID2" --reason keyCompromise
"$PLANTCA" publish -q
ledger_back backup
for act in "sign --plant $UUID3 3.csr" crl "audit checkpoint" reconcile; do
    # shellcheck disable=SC2086 # words
    if [ "$act" = reconcile ]; then
        rm state/ca.crl # so that there is something to do
    fi
    # shellcheck disable=SC2086 # words
    expect 5 "$act, on an older ledger" "$PLANTCA" $act --json
    json "is refused" 'd["error"]["name"] == "restore-crl"'
done
expect 5 "before a PIN is asked for" "$PLANTCA" crl --json -c "$(without_token)"
json "or the token" 'd["error"]["name"] == "restore-crl"'
check "-n --accept-loss" reconcile -n --json --accept-loss "backup of today"
json "tells what would be taken over" '{"adopted", "revoked", "recorded"} <= {s["did"] for s in d["steps"]}'
expect 5 "and changes nothing" "$PLANTCA" crl
check "reconcile --accept-loss" reconcile --json --accept-loss "backup of today"
json "takes it over" 'sorted(s["did"] for s in d["steps"])[:2] == ["adopted", "made"] and d["crl_number"] > 3 and "lost_until" in d'
check "the new CRL" openssl crl -in state/ca.crl -noout -text
for n in 1 2; do
    said "$(serial_of $n.crt | tr a-f A-F)" "lists $n.crt"
done
check "who accepted what is on record" "$PLANTCA" audit export
said '"act":"accept-loss".*"note":"backup of today".*"user":' "with the reason"
check "and the record holds" "$PLANTCA" audit verify --json
check "again" reconcile --json
json "there is nothing to do" 'd["steps"] == []'
check "publish" "$PLANTCA" publish -q
check "sign" sign "$UUID3" 3.csr -o 3.crt

# Somebody put a reservation into the file: our plant's name and key in the row, another key in the bytes to be signed.
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out thief.key 2>/dev/null
openssl pkey -in thief.key -pubout -outform DER -out thief.spki
openssl pkey -in 3.key -pubout -outform DER -out 3.spki
openssl x509 -in 3.crt -outform DER -out 3.der
ledger_keep honest
serial=$(serial_of 3.crt)
/usr/bin/python3 - "$serial" >forged.sql <<'PY'
import hashlib, sys
der, old, new = (open(f, "rb").read() for f in ("3.der", "3.spki", "thief.spki"))
serial = bytes.fromhex(sys.argv[1])
other = serial[:-1] + bytes([serial[-1] ^ 1])
tbs = der[4:8 + int.from_bytes(der[6:8], "big")]
for a, b in ((old, new), (serial, other), (hashlib.sha1(old[-65:]).digest(), hashlib.sha1(new[-65:]).digest())):
    assert a in tbs
    tbs = tbs.replace(a, b)
print("INSERT INTO certificate (issuer, serial, profile, subject, key, state, predecessor, not_before, not_after, reserved_at)"
      " SELECT issuer, x'%s', profile, subject, key, 'reserved', id, not_before, not_after, reserved_at FROM certificate"
      " WHERE serial = x'%s';" % (other.hex(), serial.hex()))
print("INSERT INTO body (certificate, tbs) SELECT id, x'%s' FROM certificate WHERE serial = x'%s';" % (tbs.hex(), other.hex()))
print("UPDATE certificate SET state = 'signing' WHERE serial = x'%s'" % other.hex())
PY
ledger_sql "$(cat forged.sql)"
check "reconcile, with a reservation that no act of ours made" reconcile --json
json "voids it" '[s["did"] for s in d["steps"] if s["what"] == "certificate"] == ["voided"]'
ledger_back honest

# The clock was ahead, and is right again.
days_later 40 "$PLANTCA" crl -q
expect 5 "a clock that went back" "$PLANTCA" crl --json
json "is refused" 'd["error"]["name"] == "clock-behind"'
expect 5 "again" "$PLANTCA" crl --json
json "refusals do not hide it" 'd["error"]["name"] == "clock-behind"'
check "until it is accepted" reconcile --json --accept-loss "clock was wrong"
json "with the CRL of the future" '[s["did"] for s in d["steps"]][:2] == ["accepted", "pardoned"]'
check "status" "$PLANTCA" status --json
json "is well: the CRL is valid now" 'd.get("error") is None'
check "and the record holds" "$PLANTCA" audit verify --json
finish
