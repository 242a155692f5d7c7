#!/usr/bin/env bash
# plantca import and publish where names mislead brokers: a CA of old with the subject of ours, whose certificates do not say by key
# identifier who issued them; and the judgement of what comes after the first publication. OpenSSL is the judge.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/old_ca.sh
. "${PC_SOURCE:?}/tests/lib/old_ca.sh"
need sqlite3
ca_prepare
sed -i 's/^key .*/key = rsa:3072/' "$PLANTCA_CONFIG" # of the kind that the old CA has, so that nothing but names and identifiers differs
"$PLANTCA" init -q || fail "init"
cd "$WORK" || exit 1
import() { "$PLANTCA" import "$@"; }
publish() { "$PLANTCA" publish "$@"; }
verify() { openssl verify -crl_check -purpose sslclient -auth_level 2 -CAfile "$1/ca/ca.crt" -CRLfile "$1/ca/ca.crl" "$2"; }
count() { "$PLANTCA" list --json | wc -l; }
SUBJECT="/C=CZ/ST=Prague/O=CPI IoT Platform/CN=CPI Root CA" # of both, by default

check "the first publication" publish

# Certificates without authorityKeyIdentifier, by a CA with the name of ours: brokers could not tell who issued them.
old_ca bare "$SUBJECT"
old_device bare "$UUID1"
old_bare bare
old_device bare "$UUID2"
before=$(count)
for options in "" "-n"; do
    # shellcheck disable=SC2086
    expect 5 "a fleet that would be taken for ours $options" import $options --ca bare/ca.crt --crl bare/ca.crl --index bare/index.txt --devices bare/devices --json
    json "is refused, with plant, serial and advice" 'd["error"]["name"] == "import-name" and all(w in d["error"]["message"] for w in ("'"$UUID2"'", "serial 1001", "authorityKeyIdentifier", "CA_SUBJECT", "CN=CPI Root CA G2", "before plantca init"))'
done
same "$(count)" "$before" "nothing of it is on record"
openssl ca -config bare/ca.cnf -revoke bare/newcerts/1001.pem -crl_reason certificateHold 2>/dev/null
old_crl bare
expect 5 "nor when it is on hold, and may come back" import -n --ca bare/ca.crt --crl bare/ca.crl --index bare/index.txt --devices bare/devices
sed -i 's/,certificateHold//' bare/index.txt
old_crl bare
check "when it is revoked for good" import -n --json --ca bare/ca.crt --crl bare/ca.crl --index bare/index.txt --devices bare/devices
json "it does no harm" 'd["imported"] == 2 and d["revoked"] == 1'
old_ca other /CN=Other
old_bare other
old_device other "$UUID2"
check "by a CA of another name" import --json --ca other/ca.crt --crl other/ca.crl --index other/index.txt --devices other/devices
check "they are published" publish --json
check "and accepted" verify published "other/devices/$UUID2/device.crt"

# What is imported after the first publication is judged by the new files alone: the old ones do not know it.
old_ca weak /CN=Weak
old_device weak "$UUID1"
mkdir "weak/devices/$UUID2"
openssl genrsa -out "weak/devices/$UUID2/device.key" 1024 2>/dev/null
old_device weak "$UUID2"
check "a certificate that no broker accepts" import -q --ca weak/ca.crt --crl weak/ca.crl --devices weak/devices
expect 5 "is not published in silence" publish --json
json "but named, with advice" '[(o["serial"], o["cn"]) for o in d["preflight"]["shut_out"]] == [("1001", "'"$UUID2"'")] and "key too weak" in d["error"]["message"] and "--retire" in d["error"]["message"]'
check "given up" publish --retire 1001
check "the other one is accepted" verify published "weak/devices/$UUID1/device.crt"
expect 2 "and it is not" verify published "weak/devices/$UUID2/device.crt"
check "from then on" publish --json
json "it counts as refused before" 'd["preflight"]["refused_as_before"] >= 1 and d["preflight"]["shut_out"] == []'
check "for people, too" publish
said '^Preflight .* refused, as before; none newly' "it is said"

# As a release that did not look at names left it: on record with the name of ours.
old_ca old "$SUBJECT"
old_device old "$UUID1"
old_device old "$UUID2"
mkdir -p old/published/ca && cp old/ca.crt old/ca.crl old/published/ca/
check "a fleet with identifiers, by a CA of our name" import -q --ca old/ca.crt --crl old/ca.crl --devices old/devices
openssl x509 -req -in "old/devices/$UUID2/device.csr" -CA old/ca.crt -CAkey old/ca.key -set_serial 0x1001 -days 300 -outform DER -out plain.der 2>/dev/null
openssl x509 -inform DER -in plain.der -out plain.crt
sqlite3 state/ledger.db "DROP TRIGGER body_signed; UPDATE body SET der = readfile('plain.der') WHERE certificate =
    (SELECT max(id) FROM certificate WHERE subject = '$UUID2' AND serial = x'1001')" || fail "sqlite3"
check "the old CA's files accept it" verify old/published plain.crt
for dir in published first old/published; do
    expect 5 "it is not published to $dir" publish --json --dir "$WORK/$dir"
    json "but named, with advice" '("1001", "'"$UUID2"'") in [(o["serial"], o["cn"]) for o in d["preflight"]["shut_out"]] and "'"$UUID1"'" not in d["error"]["message"] and "no authorityKeyIdentifier" in d["error"]["message"] and "another subject" in d["error"]["message"]'
done
check "given up" publish --json --retire 1001
json "and counted" 'd["preflight"]["retired"] >= 1'
expect 2 "OpenSSL agrees that it is refused" verify published plain.crt
check "and that the other one is not" verify published "old/devices/$UUID1/device.crt"
check "from then on it stops nothing" publish --json
json "and counts as refused before" 'd["preflight"]["refused_as_before"] == 2 and d["preflight"]["shut_out"] == []'
finish
