#!/usr/bin/env bash
# plantca init: a CA in a token, once; PINs and tokens that are wrong.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_prepare
init() { "$PLANTCA" init "$@"; }
untouched() { same "$(find "$WORK/state" -type f 2>/dev/null | head -n 1)" "" "$1"; }

expect 2 "--pin-file and --pin-fd exclude each other" init --pin-file "$WORK/pin" --pin-fd 0
expect 2 "--pin-fd is a number" init --pin-fd x
expect 2 "no operand" init now
printf '000000\n' >"$WORK/wrong" && chmod 600 "$WORK/wrong"
expect 3 "a wrong PIN" init --pin-file "$WORK/wrong" --json
json "is an authentication error" 'd["error"]["code"] == 3 and d["error"]["name"] == "authentication"'
same "$(grep -c 000000 "$WORK/out" "$WORK/err" | grep -vc ':0')" 0 "the PIN is not repeated"
: >"$WORK/empty" && chmod 600 "$WORK/empty"
expect 3 "an empty PIN" init --pin-file "$WORK/empty"
cp "$WORK/pin" "$WORK/open" && chmod 644 "$WORK/open"
expect 3 "a PIN file that others can read" init --pin-file "$WORK/open"
grep -v pin-file "$PLANTCA_CONFIG" >"$WORK/no-pin.conf"
expect 3 "no PIN and no terminal to ask on" init --no-input -c "$WORK/no-pin.conf"
expect 4 "no such module" init -c "$(without_token)"
sed 's/voke-ca/other/' "$PLANTCA_CONFIG" >"$WORK/other.conf"
expect 4 "no token of that label" init -c "$WORK/other.conf"
said 'voke-ca' "the candidates are listed"
untouched "none of these left a file"

check "init" init --json
json "tells what was made" 'd["made"] and d["subject"].endswith("CN=CPI Root CA") and d["key"] == "ec:P-256" and len(d["certificate_sha256"]) == 64'
json "where it is" 'd["certificate"].startswith("/") and d["crl"].startswith("/") and d["token"]["label"] == "voke-ca"'
crt=$(/usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["certificate"])' "$WORK/out")
crl=$(/usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["crl"])' "$WORK/out")
check "the certificate verifies" openssl verify -x509_strict -check_ss_sig -CAfile "$crt" "$crt"
check "so does the CRL" openssl crl -in "$crl" -CAfile "$crt" -noout
same "$(openssl crl -in "$crl" -noout -text | grep -c 'No Revoked Certificates')" 1 "it is empty"
expect 5 "init again" init --json
json "is refused by name" 'd["error"]["name"] == "ca-exists"'
sed "s|^state .*|state = $WORK/second|" "$PLANTCA_CONFIG" >"$WORK/second.conf"
expect 5 "a second state folder with the same token" init -c "$WORK/second.conf"

softhsm_token second 111111
cat >"$WORK/human.conf" <<CONF
[token]
module = $SOFTHSM_MODULE
uri = pkcs11:token=second
[ca]
state = $WORK/human
key = ec:P-384
days = 10
subject = /CN=Test Root
CONF
check "init with a URI and the PIN from a descriptor" init -c "$WORK/human.conf" --pin-fd 3 3<<<111111
for word in 'Test Root' 'ec:P-384' 'SHA-256 +[0-9A-F]{2}:' "$WORK/human" 'Expires +20' 'plantca sign' 'plantca serve --single, and plantca allow'; do
    said "$word" "  says '$word'"
done
softhsm_token second 222222
expect 4 "two tokens of the same label" "$PLANTCA" ensure -c "$WORK/human.conf" --pin-fd 3 3<<<111111
same "$(grep -o second "$WORK/err" | wc -l | awk '{ print ($1 >= 2) }')" 1 "lists both"
finish
