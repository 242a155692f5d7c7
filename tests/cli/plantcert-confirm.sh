#!/usr/bin/env bash
# plantcert confirm: by the operator's word, and by a real broker's; whatever a broker says against it leaves everything as it is.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/mosquitto.sh
. "${PC_SOURCE:?}/tests/lib/mosquitto.sh"
[ -x /usr/sbin/mosquitto ] && PATH=$PATH:/usr/sbin
need mosquitto
plc_start
printf "[renew]\nbefore = 10d\n" >>"$PLANTCERT_CONFIG"
cd "$WORK" || exit 1
confirm() { "$PLANTCERT" confirm "$@"; }
ours() { swtpm_handles persistent | grep -c '^0x8102'; }
folder() { (cd voke && find . ! -name .lock -printf '%p %l %T@\n' | sort); }

# broker_cert CA NAME: the broker's certificate, for 127.0.0.1.
broker_cert() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$2.key" -subj /CN=broker 2>/dev/null |
        openssl x509 -req -CA "$1.crt" -CAkey "$1.key" -set_serial 9 -days 5 -extfile <(echo subjectAltName=IP:127.0.0.1) -out "$2.crt" 2>/dev/null
}
# revocation_list FILE [CERTIFICATE]: the CRL of "ours", with that certificate on it.
revocation_list() {
    : >index
    echo 01 >crlnumber
    printf '[ca]\ndefault_ca = c\n[c]\ndatabase = %s/index\ncrlnumber = %s/crlnumber\ndefault_md = sha256\ndefault_crl_days = 5\n' "$WORK" "$WORK" >ca.conf
    [ -z "${2:-}" ] || openssl ca -config ca.conf -cert ours.crt -keyfile ours.key -revoke "$2" 2>/dev/null
    openssl ca -config ca.conf -cert ours.crt -keyfile ours.key -gencrl -out "$1" 2>/dev/null
}

expect 5 "nothing installed" confirm --json
json "is refused by name" 'd["error"]["name"] == "not-installed"'
expect 2 "a broker that is none" confirm --mqtt 127.0.0.1:none
expect 2 "a broker and none" confirm --mqtt 127.0.0.1:1 --unproven
"$PLANTCERT" request -q -o one.csr
openssl_ca ours
openssl_sign ours "$UUID1" one.csr one.crt
"$PLANTCERT" install -q --ca ours.crt one.crt
check "a first set" confirm --json
json "is confirmed by the operator's word" 'not d["already"] and not d["proven"] and d["answer"] is None and d["handles"] == 0'
check "status" "$PLANTCERT" status --json
json "says so" 'd["state"] == "confirmed" and d["confirmed"] and d["next"] == ""'
check "again" confirm --json
json "is nothing new" 'd["already"]'

"$PLANTCERT" rekey -q -o two.csr
openssl_sign ours "$UUID1" two.csr two.crt
"$PLANTCERT" install -q two.crt
openssl_ca theirs
broker_cert ours broker
broker_cert theirs stranger
before=$(folder)
expect 4 "nobody listens" confirm --json --mqtt "127.0.0.1:$(free_port)"
json "is told" 'd["error"]["name"] == "broker-unreachable"'
mosquitto_start "$WORK/ours.crt" "$WORK/stranger.crt" "$WORK/stranger.key"
expect 4 "a broker that may not be ours" confirm --json --mqtt "127.0.0.1:$MOSQUITTO_PORT"
json "proves nothing" 'd["error"]["name"] == "broker-certificate"'
mosquitto_start "$WORK/theirs.crt" "$WORK/broker.crt" "$WORK/broker.key"
expect 5 "a broker of another CA" confirm --json --mqtt "127.0.0.1:$MOSQUITTO_PORT"
json "refuses" 'd["error"]["name"] == "confirm-refused"'
revocation_list revoked.crl two.crt
for version in tlsv1.2 tlsv1.3; do
    mosquitto_start "$WORK/ours.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/revoked.crl" "$version"
    expect 5 "a revoked certificate, $version" confirm --json --mqtt "127.0.0.1:$MOSQUITTO_PORT"
    json "is refused" 'd["error"]["name"] == "confirm-refused" and "evoked" in d["error"]["message"]'
done
revocation_list good.crl one.crt
mosquitto_start "$WORK/ours.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/good.crl"
printf '[mqtt]\nbroker = 127.0.0.1:%s\n' "$MOSQUITTO_PORT" >>"$PLANTCERT_CONFIG"
expect 4 "no TPM" confirm --json --tcti "swtpm:host=127.0.0.1,port=$(free_port)"
json "is the TPM's fault, not the broker's" 'd["error"]["name"] == "tpm-missing"'
same "$(folder) $(ours)" "$before 2" "none of these has changed anything"
check "the broker that is configured" confirm --json
json "accepts it" 'd["proven"] and not d["already"] and "CONNACK 0" in d["answer"] and d["handles"] == 1 and d["files"] > 0'
check "under a client id of our own" mosquitto_logged 'as plantcert-confirm-[0-9a-f]+ .*u.?'"$UUID1"
same "$(ours) $(ls voke/generations) $(serial_of voke/device.crt)" "1 0002 $(serial_of two.crt)" "the set before and its key are gone"
check "again" confirm
said "confirmed before" "is nothing new"
said "CONNACK 0" "and proven once more"
stop "$MOSQUITTO_PID"
expect 4 "the broker that is configured is down" confirm
check "by the operator's word all the same" confirm --unproven --json
json "which is no proof" 'not d["proven"] and d["answer"] is None'
expect 5 "no way back" "$PLANTCERT" rollback --json
json "by name" 'd["error"]["name"] == "rollback-none"'
check "nothing is left loaded" swtpm_is_clean
finish
