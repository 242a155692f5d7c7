#!/usr/bin/env bash
# plantca show: one plant or one certificate.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
new_csr "$UUID1" one.key one.csr
new_csr "$UUID1" new.key new.csr
"$PLANTCA" sign -q --plant "$UUID1" one.csr -o one.crt
"$PLANTCA" sign -q --plant "$UUID1" new.csr -o new.crt --replace "$(serial_of one.crt)" 2>/dev/null
"$PLANTCA" broker -q --cn mqtt.example --new-key broker.key -o broker.crt
PLANTCA_CONFIG=$(without_token) # nothing here needs it
show() { "$PLANTCA" show "$@"; }

expect 2 "nothing to show" show
expect 2 "neither UUID nor serial" show plc
expect 2 "a UUID in upper case" show "${UUID1^^}"
expect 2 "--pem of a plant" show --pem "$UUID1"
expect 5 "a plant that is not on record" show --json "$UUID2"
json "is refused by name" 'd["error"]["name"] == "record-unknown"'
json "... nor admitted, as it says" '"not admitted" in d["error"]["message"]'
"$PLANTCA" allow -q --plant "$UUID2" --code >code
expect 5 "one that is admitted" show --json "$UUID2"
json "is told so, until when and by whom" 'd["error"]["name"] == "record-unknown" and re.search("no certificate yet; admitted with a one-time code until 20.*Z by '"$(id -un)"'", d["error"]["message"])'
"$PLANTCA" deny -q "$UUID2"
expect 5 "one that was denied" show --json "$UUID2"
json "... as well" '"its admission is denied" in d["error"]["message"]'
expect 5 "a serial that is not on record" show 0123
expect 5 "the PEM of one that is not on record" show --pem 0123
check "a plant" show --json "$UUID1"
json "newest first" '[c["serial"] for c in lines] == ["'"$(serial_of new.crt)"'", "'"$(serial_of one.crt)"'"]'
check "a serial, with colons and in upper case" show --json "$(serial_of one.crt | tr a-f A-F | sed 's/../&:/g; s/:$//')"
json "that certificate" 'len(lines) == 1 and d["state"] == "superseded" and d["cn"] == "'"$UUID1"'" and d["revoke_after"]'
fingerprint=$(openssl x509 -in one.crt -noout -fingerprint -sha256 | sed 's/.*=//')
json "its fingerprint" 'd["certificate_sha256"] == "'"$(tr -d : <<<"$fingerprint" | tr A-F a-f)"'"'
spki=$(openssl x509 -in one.crt -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d ' ' -f 1)
json "its key's" 'd["key_sha256"] == "'"$spki"'"'
json "its successor" 'd["successor"] == "'"$(serial_of new.crt)"'" and d["predecessor"] is None and d["foreign_issuer"] is None'
check "for people" show "$(serial_of one.crt)"
said "SHA-256 +$fingerprint" "as openssl prints it"
said "Succeeded by +$(serial_of new.crt)" "its successor"
check "a broker, by its name" show --json mqtt.example
json "its certificate" 'len(lines) == 1 and d["profile"] == "broker"'
expect 2 "--pem of a name" show --pem mqtt.example
check "the successor" show --json "$(serial_of new.crt)"
json "tells what it succeeded" 'd["predecessor"] == "'"$(serial_of one.crt)"'" and d["successor"] is None and d["origin"] == "issued"'
check "--pem" show --pem "$(serial_of one.crt)"
check "is the certificate" cmp <(openssl x509 -in one.crt) <("$PLANTCA" show --pem "$(serial_of one.crt)")
check "--pem --json" show --pem --json "$(serial_of one.crt)"
json "holds it" 'd["certificate_pem"].startswith("-----BEGIN CERTIFICATE-----")'
finish
