#!/bin/bash
# plantca publish asks a real broker whether it accepts what is good and refuses what is revoked: one that does, one that does not read
# its CRL, one that fails open because it cannot, one that trusts another CA, and one that is not there.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/mosquitto.sh
. "${PC_SOURCE:?}/tests/lib/mosquitto.sh"
need mosquitto_pub
ca_start
cd "$WORK" || exit 1
"$PLANTCA" broker -q --new-key broker.key -o broker.crt 2>err
"$PLANTCA" publish -q 2>err
mosquitto_start "$WORK/published/ca/ca.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/published/ca/ca.crl" || fail "mosquitto"
publish() { "$PLANTCA" publish --probe "localhost:$MOSQUITTO_PORT" "$@"; }
set_reload() {
    sed -i '/^reload/d' "$PLANTCA_CONFIG"
    echo "reload = $1" >>"$PLANTCA_CONFIG"
}

expect 2 "an address that is none" "$PLANTCA" publish --probe localhost
expect 4 "the probe needs the token" publish -c "$(without_token)"
expect 1 "nothing of this made a canary" test -e state/canary.key

expect 5 "a broker that does not read its new CRL" publish --json
json "lets the canary in" 'd["error"]["name"] == "publish-open" and "FAILS OPEN" in d["error"]["message"] and not d["probed"]'
same "$(mode state/canary.key)" 600 "the canary's key, mode 0600"
check "the audit log raises the alarm" sqlite3 state/ledger.db "SELECT line FROM audit WHERE line LIKE '%publish-open%'"
said 'publish-open' "by name"
set_reload "kill -HUP $MOSQUITTO_PID"
check "with a reload" publish --json
json "the broker is found to be sound" 'd["probed"] and d["reloaded"]'
key=$(sha256sum <state/canary.key)
entries=$(openssl crl -in state/ca.crl -noout -text | grep -c 'Serial Number')
check "again" publish
said 'refuses what is revoked' "tells people"
same "$(sha256sum <state/canary.key)" "$key" "with the same canary"
same "$(openssl crl -in state/ca.crl -noout -text | grep -c 'Serial Number')" "$entries" "which stands on the CRL once"
rm state/canary.key
check "when its key is lost" publish
same "$(openssl crl -in state/ca.crl -noout -text | grep -c 'Serial Number')" $((entries + 1)) "another is made, and listed"
echo rubbish >state/canary.key
check "or is no key" publish

set_reload "mv published/ca/ca.crl away; kill -HUP $MOSQUITTO_PID"
expect 5 "a broker whose CRL is away, so that it checks none" publish --json
json "fails open" 'd["error"]["name"] == "publish-open"'
set_reload "kill -HUP $MOSQUITTO_PID"
check "publish mends it" publish

openssl_ca other
set_reload "cp other.crt published/ca/ca.crt; kill -HUP $MOSQUITTO_PID"
expect 5 "a broker that trusts another CA" publish --json
json "shuts everyone out" 'd["error"]["name"] == "publish-closed"'
stop "$MOSQUITTO_PID"
set_reload true
expect 5 "an old CA file that nobody knows" publish
check "is retired by name" "$PLANTCA" publish --retire "$(serial_of other.crt)"
expect 4 "a broker that is away" publish --json
json "is no proof of anything" 'd["error"]["code"] == 4 and "everything is published" in d["error"]["message"]'
finish
