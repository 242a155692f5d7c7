#!/usr/bin/env bash
# plantca import: a CA kept by openssl ca, with its fleet; published beside ours.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/old_ca.sh
. "${PC_SOURCE:?}/tests/lib/old_ca.sh"
ca_start
cd "$WORK" || exit 1
UUID3=a1b2c3d4-0000-4000-8000-000000000003
UUID4=a1b2c3d4-0000-4000-8000-000000000004
import() { "$PLANTCA" import "$@"; }
publish() { "$PLANTCA" publish "$@"; }

count() { "$PLANTCA" list --json | wc -l; }

# The name that both have by default.
old_ca old "/C=CZ/ST=Prague/O=CPI IoT Platform/CN=CPI Root CA"
old_device old "$UUID1"
old_device old "$UUID2"
old_device old pump-7
old_device old "$UUID3" -startdate 20200101000000Z -enddate 20210101000000Z
mkdir -p published/ca
cp old/ca.crt old/ca.crl published/ca/

expect 5 "the first publish, before the import" publish --json
json "would shut out the old CA" 'd["error"]["name"] == "publish-preflight" and d["preflight"]["shut_out"][0]["cn"] == "CPI Root CA" and "import" in d["error"]["message"]'
check "leaves what was there" cmp old/ca.crt published/ca/ca.crt

before=$(count)
expect 2 "no --ca" import --crl old/ca.crl
expect 1 "a file that is not there" import --ca none.crt
expect 5 "our own CA" import --ca state/ca.crt --json
json "by name" 'd["error"]["name"] == "import-own"'
expect 5 "a device's certificate" import --ca "old/devices/$UUID1/device.crt" --json
json "by name" 'd["error"]["name"] == "import-ca"'
expect 5 "a CRL of another CA" import --ca old/ca.crt --crl state/ca.crl --json
json "by name" 'd["error"]["name"] == "import-crl"'
sed '/^crl_extensions/d' old/ca.cnf >plain.cnf
openssl ca -config plain.cnf -gencrl -out plain.crl 2>/dev/null
expect 5 "a CRL that does not tell the two CAs of one name apart" import --ca old/ca.crt --crl plain.crl --json
json "by name" 'd["error"]["name"] == "import-crl" and "authorityKeyIdentifier" in d["error"]["message"]'
echo "V" >bad.txt
expect 5 "an index that is none" import --ca old/ca.crt --crl old/ca.crl --index bad.txt --json
json "by name" 'd["error"]["name"] == "import-index"'
printf 'X\t300101000000Z\t\t1000\tunknown\t/CN=x\n' >bad.txt
expect 5 "an index with a state that is none" import --ca old/ca.crt --crl old/ca.crl --index bad.txt
openssl ca -config old/ca.cnf -revoke old/newcerts/1001.pem 2>/dev/null
expect 5 "an index that revokes what the CRL does not list" import --ca old/ca.crt --crl old/ca.crl --index old/index.txt --devices old/devices
said 'gencrl' "says what to do"
expect 1 "devices that are not there" import --ca old/ca.crt --devices nowhere
check "--dry-run" import -n --ca old/ca.crt --devices old/devices
same "$(count)" "$before" "nothing of this is on record"

old_crl old
printf 'rubbish\n' >old/devices/junk.txt
mkdir old/devices/junk && echo rubbish >old/devices/junk/device.crt
mkdir old/devices/foreign && openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=foreign -out old/devices/foreign/device.crt 2>/dev/null
openssl req -new -key old/devices/pump-7/device.key -subj /CN=lost -out lost.csr
openssl ca -batch -config old/ca.cnf -in lost.csr -out lost.crt 2>/dev/null
check "import, without a token" import --json -c "$(without_token)" --ca old/ca.crt --crl old/ca.crl --index old/index.txt --devices old/devices
json "counts" 'd["imported"] == 3 and d["expired"] == 1 and d["refused"] == 2 and d["revoked"] == 1 and d["unknown"] == 1 and d["other_names"] == 1 and not d["known"]'
json "tells what to look at" 'sorted(i["what"] for i in d["items"]) == ["name", "refused", "refused", "unknown"]'
json "warns of a name that is ours, too" 'd["same_name"] and any("same name" in w for w in d["warnings"])'
check "again" import --json --ca old/ca.crt --crl old/ca.crl --index old/index.txt --devices old/devices
json "changes nothing" 'd["known"] and d["imported"] == 0 and d["already"] == 3 and not d["crl"]["new"] and d["crl"]["number"] == 1'
check "show" "$PLANTCA" show "$UUID1" --json
json "a certificate that is not ours" '"foreign" in [line["state"] for line in lines]'

new_csr "$UUID4" "old/devices/$UUID1/device.key" taken.csr
expect 5 "an old device's key for another plant" "$PLANTCA" sign --plant "$UUID4" taken.csr
new_csr "$UUID1" new.key new.csr
check "a new key for an old plant" "$PLANTCA" sign -q --plant "$UUID1" new.csr -o new.crt
expect 5 "revoking what another CA issued" "$PLANTCA" revoke --cert "old/devices/$UUID2/device.crt" --json
expect 5 "and what it did not revoke" "$PLANTCA" revoke --cert "old/devices/pump-7/device.crt" --json
json "by name" 'd["error"]["name"] == "revoke-foreign"'

check "publish -n, without a token" publish -n --json -c "$(without_token)"
json "finds nobody shut out" 'd["dry_run"] and d["preflight"]["issuers"] == 2 and d["preflight"]["shut_out"] == [] and d["written"] == 2'
check "publishes nothing" cmp old/ca.crt published/ca/ca.crt
check "publish" publish --json
json "judges both fleets" 'd["preflight"]["judged"] == 3 and d["written"] >= 3'
same "$(grep -c BEGIN published/ca/ca.crt) $(grep -c BEGIN published/ca/ca.crl)" "2 2" "both CAs are in each file"
verify() { openssl verify -crl_check -CAfile published/ca/ca.crt -CRLfile published/ca/ca.crl "$@"; }
check "the old device" verify "old/devices/$UUID1/device.crt"
check "and the new one of the same plant are accepted" verify new.crt
expect 2 "the old revoked one is not" verify "old/devices/$UUID2/device.crt"

cp old/ca.crl first.crl
openssl ca -config old/ca.cnf -revoke old/newcerts/1000.pem -crl_reason certificateHold 2>/dev/null
expect 5 "a CRL that does not list what the index holds" import --ca old/ca.crt --index old/index.txt
sleep_until_next_second() { local now; now=$(date +%s); wait_for 3 test_later "$now"; }
test_later() { [ "$(date +%s)" -gt "$1" ]; }
sleep_until_next_second
old_crl old
check "a newer CRL" import --json --ca old/ca.crt --crl old/ca.crl --index old/index.txt --devices old/devices
json "carries a hold over" 'd["crl"]["new"] and d["crl"]["number"] == 2 and d["revoked"] == 1 and d["imported"] == 0'
expect 5 "an older one after it" import --ca old/ca.crt --crl first.crl --json
json "by name" 'd["error"]["name"] == "import-crl-old"'
check "publish takes the hold over" publish
expect 2 "so that the old device is refused" verify "old/devices/$UUID1/device.crt"
check "and the new one is not" verify new.crt

UUID9=a1b2c3d4-0000-4000-8000-000000000009
old_device old "$UUID9"
new_csr "$UUID9" "old/devices/$UUID9/device.key" nine.csr
"$PLANTCA" sign -q --plant "$UUID9" nine.csr -o nine.crt
"$PLANTCA" revoke -q --plant "$UUID9" --reason keyCompromise
check "a certificate of a key that was revoked here" import -n --json --ca old/ca.crt --devices old/devices
json "is told, as brokers accept it" '[i["what"] for i in d["items"] if "'"$UUID9"'" in i["name"]] == ["key"]'

check "status" "$PLANTCA" status --json
json "has nothing to say of the imported CRL" 'not any("imported" in w for w in d.get("warnings", []))'
days_later 25 "$PLANTCA" status --json >out 2>err
json "before it lapses, it has" 'any("imported CA, lapses at" in w for w in d["warnings"])'
expect 5 "when the imported CRL has lapsed" days_later 40 "$PLANTCA" publish --dir "$WORK/elsewhere" --json
json "a first publication would shut its fleet out" 'd["error"]["name"] == "publish-preflight" and "lapsed" in str(d)'
check "where brokers refuse it already" days_later 40 "$PLANTCA" publish --json
json "ours is published all the same, with a warning" 'any("lapsed" in w for w in d["warnings"])'
old_ca second "/CN=CPI Root CA 2"
check "a CA without a CRL" import --json --ca second/ca.crt
json "is told" 'd["crl"] is None and any("no CRL" in w for w in d["warnings"])'
old_ca third "/CN=CPI Root CA 2"
expect 5 "another CA of that name" import --ca third/ca.crt --json
json "by name" 'd["error"]["name"] == "import-name"'
finish
