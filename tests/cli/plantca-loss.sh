#!/usr/bin/env bash
# What was taken away from the record: a revocation undone in the ledger itself, a backup that knows less than brokers do. Nothing is signed
# until somebody accepts it, and what is accepted is what the world knows.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
need sqlite3 openssl
UUID3=a1b2c3d4-0000-4000-8000-000000000003
UUID4=a1b2c3d4-0000-4000-8000-000000000004
ca_start
cd "$WORK" || exit 1
for n in 1 2 3 4; do
    uuid="UUID$n"
    new_csr "${!uuid}" "$n.key" "$n.csr"
done
sign() { "$PLANTCA" sign -q --plant "$@"; }
for n in 1 2 3; do
    uuid="UUID$n"
    sign "${!uuid}" "$n.csr" -o "$n.crt"
done
undo() {
    ledger_forge "UPDATE certificate SET state = 'current', revoked_at = NULL, reason = NULL, invalid_since = NULL, listed_from = NULL
        WHERE subject = '$1'"
}
# refused WHAT NAME COMMAND…
refused() {
    expect 5 "$1" "${@:3}" --json
    json "by its name: $2" "d['error']['name'] == '$2'"
}

# A revocation is undone; the CRL in both places is the recorded one.
"$PLANTCA" hold -q --plant "$UUID2"
"$PLANTCA" revoke -q --plant "$UUID1" --reason keyCompromise
"$PLANTCA" publish -q
before=$(sha256sum <state/ca.crl)
undo "$UUID1"
for act in crl "sign --plant $UUID4 4.csr" "audit checkpoint" "status"; do
    # shellcheck disable=SC2086 # words
    refused "$act, a revocation undone" restore-revocation "$PLANTCA" $act
done
same "$(sha256sum <state/ca.crl)" "$before" "no CRL was made"
# A release since, and a new revocation, do not make up for it.
"$PLANTCA" revoke -q --plant "$UUID3" 2>/dev/null
refused "publish, with a CRL to make" restore-revocation "$PLANTCA" publish
refused "a CRL, though as many are revoked" restore-revocation "$PLANTCA" crl
check "the audit log has the refusal" test "$(ledger_sql "SELECT count(*) FROM audit WHERE line LIKE '%\"act\":\"crl\"%\"rule\":\"restore-revocation\"%'")" -gt 0
check "accepted" "$PLANTCA" reconcile --json --accept-loss "the file was changed"
json "the revocation is back" 'any(s["what"] == "revocation" and s["did"] == "revoked" for s in d["steps"])'
check "its CRL" openssl crl -in state/ca.crl -noout -text
for n in 1 2 3; do
    said "$(serial_of $n.crt | tr a-f A-F)" "lists $n.crt"
done
check "and the record holds" "$PLANTCA" audit verify
check "a release" "$PLANTCA" release -q --plant "$UUID2"
check "is a reason to leave one out" "$PLANTCA" crl -q
expect 1 "it is left out" grep -q "$(serial_of 2.crt | tr a-f A-F)" <(openssl crl -in state/ca.crl -noout -text)
check "sign goes on" sign "$UUID4" 4.csr -o 4.crt
"$PLANTCA" publish -q

# A backup that knows neither the second certificate of the first plant, nor what became of the others.
ledger_keep backup
for n in 5 6; do
    new_csr "a1b2c3d4-0000-4000-8000-00000000000$n" $n.key $n.csr
    sign "a1b2c3d4-0000-4000-8000-00000000000$n" $n.csr -o $n.crt
done
"$PLANTCA" hold -q --plant "$UUID2"
"$PLANTCA" revoke -q --plant "$UUID4" --reason keyCompromise --invalid-since 2026-01-02T03:04:05Z
"$PLANTCA" publish -q
ledger_back backup
refused "status, on an older ledger" restore-crl "$PLANTCA" status
rows=$(ledger_sql "SELECT count(*) FROM audit")
expect 5 "without the token, too" "$PLANTCA" status -c "$(without_token)"
same "$(ledger_sql "SELECT count(*) FROM audit")" "$rows" "a look leaves no trace"
rm state/ca.crl
refused "-n, where the real run is" restore-crl "$PLANTCA" reconcile -n
json "though it tells what would be done" '[s["what"] for s in d["steps"]] == ["file"]'
expect 5 "and in words" "$PLANTCA" reconcile -n
said "would be written" "in the conditional"
check "accepted" "$PLANTCA" reconcile --json --accept-loss "backup of today"
json "a hold is a hold" 'sorted(s["did"] for s in d["steps"] if s["what"] == "revocation") == ["held", "revoked"]'
json "what is published and not on record is named" "sorted(m['serial'] for m in d['missing']) == sorted(['$(serial_of 5.crt)', '$(serial_of 6.crt)'])"
json "with the time of the loss" 'd["lost_from"] <= d["lost_until"] and d["lost_from"][:4] == d["lost_until"][:4]'
check "and the record holds" "$PLANTCA" audit verify
check "dates and reasons" "$PLANTCA" crl -q -o new.crl
openssl crl -in new.crl -noout -text >new.txt
openssl crl -in published/ca/ca.crl -noout -text >old.txt
same "$(grep -A8 -i "$(serial_of 4.crt)" new.txt | grep -E 'Date|2026|Compromise')" \
    "$(grep -A8 -i "$(serial_of 4.crt)" old.txt | grep -E 'Date|2026|Compromise')" "are taken over"
check "what is held can be released" "$PLANTCA" release -q --plant "$UUID2"
check "one that was lost" "$PLANTCA" revoke --json --cert 5.crt
json "is told as that, perhaps" 'd["maybe_lost"] and "lost with the ledger" in d["warnings"][0]'
check "and the record holds" "$PLANTCA" audit verify

# What is held by the backup, and was revoked since, cannot be released.
"$PLANTCA" hold -q --plant "$UUID2"
"$PLANTCA" publish -q
ledger_keep backup2
"$PLANTCA" revoke -q --plant "$UUID2" --reason keyCompromise
"$PLANTCA" publish -q
ledger_back backup2
check "accepted" "$PLANTCA" reconcile --json --accept-loss "backup of today"
json "it is revoked" '[s["did"] for s in d["steps"] if s["what"] == "revocation"] == ["revoked"]'
refused "a release" release-revoked "$PLANTCA" release --plant "$UUID2"
check "and the record holds" "$PLANTCA" audit verify

# What lies beside certificates and CRLs is held against the chain, too.
# found RULE SQL…
found() {
    ledger_keep honest
    ledger_forge "$2"
    expect 5 "audit verify: $2" "$PLANTCA" audit verify
    said "$1" "tells $1"
    ledger_back honest
}
found issuer-differs "UPDATE issuer SET days = days + 1"
found issuer-differs "UPDATE issuer SET subject = '/CN=Other'"
found issuer-differs "UPDATE issuer SET key_type = 'rsa:4096'"
found issuer-differs "UPDATE issuer SET key_label = 'other'"
found key-differs "UPDATE token_key SET label = 'other'"
found key-untold "UPDATE token_key SET sha256 = randomblob(32)"
found orphan-untold "INSERT INTO orphan (issuer, serial, revoked_at, reason) VALUES (1, x'0102', 1700000000, 1)"
found publication-missing "DELETE FROM publication WHERE id = (SELECT max(id) FROM publication)"
found publication-untold "INSERT INTO publication (at, dir, crl_number, crl_sha256, ca_sha256) SELECT at, dir, crl_number, crl_sha256, ca_sha256 FROM publication LIMIT 1"
found ledger-rules "DROP INDEX publication_dir"
if in_postgres; then
    found ledger-rules "CREATE TRIGGER quiet AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ledger_sql "DROP TRIGGER audit_fixed ON audit"
else
    found ledger-rules "CREATE TRIGGER quiet AFTER INSERT ON audit BEGIN SELECT 1; END"
    ledger_sql "DROP TRIGGER certificate_final"
fi
expect 5 "a rule that was dropped" "$PLANTCA" audit verify
said "(certificate_final|audit_fixed) is missing" "is told"
finish
