#!/usr/bin/env bash
# plantca hold: onto the CRL for the time being.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
hold() { "$PLANTCA" hold "$@"; }
for i in 1 2; do
    uuid=UUID$i
    new_csr "${!uuid}" "$i.key" "$i.csr"
    "$PLANTCA" sign -q --plant "${!uuid}" "$i.csr" -o "$i.crt"
done
"$PLANTCA" publish -q 2>/dev/null
verify() { openssl verify -crl_check -CAfile published/ca/ca.crt -CRLfile published/ca/ca.crl "$@"; }
entry() { openssl crl -in state/ca.crl -noout -text | grep -iA5 "Serial Number: $(serial_of "$1")"; }

expect 2 "nothing chosen" hold
expect 2 "two ways at once" hold --plant "$UUID1" --serial 01
expect 2 "a UUID that is none" hold --plant x
expect 5 "a plant that is not on record" hold --plant b2c3d4e5-0000-4000-8000-000000000009 --json
json "is refused by name" 'd["error"]["name"] == "revoke-unknown"'
check "--dry-run, without a token" hold -n --plant "$UUID1" --json -c "$(without_token)"
json "tells what would be held" 'd["dry_run"] and [c["serial"] for c in d["held"]] == ["'"$(serial_of 1.crt)"'"] and d["crl"] is None'
check "that holds nothing" "$PLANTCA" list --current --json
same "$(grep -c '"current"' "$WORK/out")" 4 "all are current, the root and the audit key too"

check "by plant" hold --plant "$UUID1" --json
json "tells what is held, and the new CRL" 'len(d["held"]) == 1 and d["held"][0]["state"] == "held" and d["crl"]["entries"] == 1'
check "it is on the CRL, with its reason" grep -q 'Certificate Hold' <(entry 1.crt)
check "publish" "$PLANTCA" publish --json
json "takes it for no accident" 'd["preflight"]["shut_out"] == []'
expect 2 "brokers refuse it" verify 1.crt
check "and no other" verify 2.crt
check "again" hold --serial "$(serial_of 1.crt)" --json
json "is done already" 'd["held"] == [] and d["already"] == 1'
expect 5 "its plant gets no certificate" "$PLANTCA" sign --plant "$UUID1" 1.csr --json
json "by name" 'd["error"]["name"] == "identity-held"'
printf '135791\n' >wrong && chmod 600 wrong
expect 3 "with a wrong PIN" hold --cert 2.crt --pin-file wrong
said 'on record, but no CRL was made' "is on record all the same, and says so"
check "by certificate, again" hold --cert 2.crt
said 'Held before' "makes the CRL"
check "it is on that" grep -q 'Certificate Hold' <(entry 2.crt)
UUID3=a1b2c3d4-0000-4000-8000-000000000003
new_csr "$UUID3" 3.key 3.csr
"$PLANTCA" sign -q --plant "$UUID3" 3.csr -o 3.crt
ledger_sql "INSERT INTO certificate (issuer, serial, profile, subject, key, state, predecessor, not_before, not_after,
    reserved_at) SELECT issuer, x'0102030405', profile, subject, key, 'reserved', id, not_before, not_after, reserved_at
    FROM certificate WHERE subject = '$UUID3'"
check "by serial, while its successor is being made" hold --serial "$(serial_of 3.crt)"
same "$(ledger_sql "SELECT state FROM certificate WHERE serial = x'0102030405'")" void "there will be none"

check "a held one can be revoked" "$PLANTCA" revoke --plant "$UUID1" --reason keyCompromise --invalid-since 2026-01-02T03:04:05Z
check "the CRL gives the new reason" grep -q 'Key Compromise' <(entry 1.crt)
check "and since when" grep -q 'Invalidity Date' <(entry 1.crt)
expect 5 "a revoked one cannot be held" hold --plant "$UUID1" --json
json "by name" 'd["error"]["name"] == "hold-revoked"'
check "the audit log tells of it" grep -q '"act": *"hold"' <(ledger_sql "SELECT line FROM audit")
finish
