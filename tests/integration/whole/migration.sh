#!/bin/bash
# From a CA in files to one in a token, in front of a real broker: a fleet made by openssl ca, imported, published beside ours. Nobody who
# could connect before is locked out, and who was revoked stays out.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/old_ca.sh
. "${PC_SOURCE:?}/tests/lib/old_ca.sh"
# shellcheck source=tests/lib/mosquitto.sh
. "${PC_SOURCE:?}/tests/lib/mosquitto.sh"
need mosquitto_pub
UUID3=a1b2c3d4-0000-4000-8000-000000000003
ca_start
cd "$WORK" || exit 1

# The names that both CAs have by default are the same.
old_ca old "/C=CZ/ST=Prague/O=CPI IoT Platform/CN=CPI Root CA"
old_device old "$UUID1"
old_device old "$UUID2"
openssl ca -config old/ca.cnf -revoke old/newcerts/1001.pem 2>/dev/null
old_crl old
openssl req -new -newkey rsa:2048 -nodes -keyout broker.key -subj /CN=localhost -out broker.csr 2>/dev/null
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n' >broker.ext
openssl x509 -req -in broker.csr -CA old/ca.crt -CAkey old/ca.key -set_serial 77 -days 30 -extfile broker.ext -out broker.crt 2>/dev/null
mkdir -p published/ca
cp old/ca.crt old/ca.crl published/ca/
mosquitto_start "$WORK/published/ca/ca.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/published/ca/ca.crl" || fail "mosquitto"

# report UUID CERTIFICATE KEY: sends a status, as that plant.
report() {
    timeout 10 mosquitto_pub -h localhost -p "$MOSQUITTO_PORT" --cafile old/ca.crt --cert "$2" --key "$3" -i "$1" -V mqttv5 -q 1 \
        -t "cpi/$1/status" -m alive
}
old() { report "$1" "old/devices/$1/device.crt" "old/devices/$1/device.key"; }
refused() { ! "$@"; }

check "before: the old device connects" old "$UUID1"
check "before: the revoked one is refused" refused old "$UUID2"
echo "reload = kill -HUP $MOSQUITTO_PID" >>"$PLANTCA_CONFIG"
expect 5 "publish without the import is refused" "$PLANTCA" publish
check "and has left the broker's files alone" cmp old/ca.crt published/ca/ca.crt
check "import" "$PLANTCA" import --ca old/ca.crt --crl old/ca.crl --index old/index.txt --devices old/devices --json
json "takes the fleet in" 'd["imported"] == 2 and d["revoked"] == 1 and d["refused"] == 0 and d["unknown"] == 0'
for n in 1 3; do
    uuid=UUID$n
    new_csr "${!uuid}" "new$n.key" "new$n.csr"
    check "a certificate for plant $n" "$PLANTCA" sign -q --plant "${!uuid}" "new$n.csr" -o "new$n.crt"
done
check "a certificate for a plant that will be revoked" sh -c "openssl req -new -newkey rsa:2048 -nodes -keyout gone.key -subj /CN=$UUID2 -out gone.csr && '$PLANTCA' sign -q --plant $UUID2 gone.csr -o gone.crt"
check "before the publication the new device is refused" refused report "$UUID3" new3.crt new3.key
check "publish" "$PLANTCA" publish --json
json "judges three new certificates and an old one" 'd["preflight"]["judged"] == 4 and d["preflight"]["issuers"] == 2 and d["reloaded"]'
check "the broker reads its files again" mosquitto_logged 'Reloading config'
check "after: the new device connects" wait_for 5 report "$UUID3" new3.crt new3.key
check "after: the old device connects" old "$UUID1"
check "after: the revoked one is refused" refused old "$UUID2"
check "the old plant's new certificate is good beside its old one" report "$UUID1" new1.crt new1.key
check "and the old one still is" old "$UUID1"

check "revoke the plant that goes" "$PLANTCA" revoke --cert gone.crt --reason keyCompromise
check "publish again" "$PLANTCA" publish
check "it is refused" wait_for 5 refused report "$UUID2" gone.crt gone.key
check "the old device connects" old "$UUID1"
openssl ca -config old/ca.cnf -revoke old/newcerts/1000.pem 2>/dev/null
later() { [ "$(date +%s)" -gt "$1" ]; }
wait_for 3 later "$(date +%s)"
old_crl old
check "the old CA revokes it, and its new CRL is imported" "$PLANTCA" import --ca old/ca.crt --crl old/ca.crl --index old/index.txt
check "and published" "$PLANTCA" publish
check "the old certificate is refused" wait_for 5 refused old "$UUID1"
check "the new one is not" report "$UUID1" new1.crt new1.key
finish
