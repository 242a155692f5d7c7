#!/bin/bash
# plantcert doctor against a real mosquitto put into each state that keeps a PLC out, all lines of the troubleshooting table among them. The PLC's
# own client is connected all the while, by the same key and certificate, and stays so.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh" || exit 1
# shellcheck source=tests/lib/mosquitto.sh
. "$PC_SOURCE/tests/lib/mosquitto.sh" || exit 1
# shellcheck source=tests/integration/mqtt/authority.sh
. "$PC_SOURCE/tests/integration/mqtt/authority.sh" || exit 1
need mosquitto mosquitto_sub mosquitto_pub openssl "$PLANTCERT_MODULE"
KEY=$1
cd "$WORK" || exit 1
plc_start
sed -i "s|^key .*|key = $KEY|" "$PLANTCERT_CONFIG"
"$PLANTCERT" config --openssl | sed "s|^module *=.*|module = $PLANTCERT_MODULE|" >openssl.cnf
unset OPENSSL_CONF

# --- authorities, brokers, and the PLC ---
ca ours
ca foreign
server='subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
leaf broker ours broker "$server"
leaf elsewhere ours elsewhere 'subjectAltName=DNS:elsewhere.example\nextendedKeyUsage=serverAuth'
leaf impostor foreign impostor "$server"
leaf over ours over "$server" -1
leaf client ours client 'subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth'
leaf young ours young "$server"
early young ours
leaf platform ours platform 'extendedKeyUsage=clientAuth'
"$PLANTCERT" request -q -o plc.csr
openssl_sign ours "$UUID1" plc.csr plc.crt 25
"$PLANTCERT" install -q --ca ours.crt plc.crt
crl ours -gencrl -out good.crl
crl ours -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out stale.crl
crl foreign -gencrl -out foreign.crl
crl ours -revoke plc.crt
crl ours -gencrl -out revoked.crl
serve() { cp "$1.crl" live.crl && mosquitto_reload; }

doctor() { "$PLANTCERT" doctor --openssl-conf "$WORK/openssl.cnf" --mqtt "${BROKER:-localhost:$MOSQUITTO_PORT}" "$@"; }
# finds CODE NAME STEP PATTERN DESCRIPTION: that cause, found at that step, in words that match; everything before it is sound.
finds() {
    local code=$1 name=$2 step=$3 pattern=$4 what=$5
    expect "$code" "$what" doctor --publish --json || return
    json "is $name" '(d["cause"]["name"], d["cause"]["step"], d["cause"]["code"]) == ("'"$name"'", "'"$step"'", '"$code"')'
    json "says what to do" "re.search('$pattern', d['cause']['text'] + d['cause']['advice']) and [f for f in d['findings'] if f['verdict'] == 'fail'] == [d['cause']]"
}
broker() { # [CERTIFICATE [CA [CRL]]]
    mosquitto_start "$WORK/${2:-ours}.crt" "$WORK/${1:-broker}.crt" "$WORK/${1:-broker}.key" "${3:+$WORK/$3.crl}" || exit 1
}

# A port that takes connections and says nothing: waited for beside the rest.
/usr/bin/python3 -c 'import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(8)
print(s.getsockname()[1], flush=True)
time.sleep(120)' >silent &
PIDS+=($!)
wait_for 10 test -s silent
"$PLANTCERT" doctor --json --openssl-conf openssl.cnf --mqtt "127.0.0.1:$(cat silent)" >silent.out 2>/dev/null &
silent=$!

# --- the broker of the PLC, whose client is connected ---
export MOSQUITTO_ACL='user platform
topic write cpi/+/commands'
cp good.crl live.crl
broker broker ours live
MAIN_PORT=$MOSQUITTO_PORT MAIN_LOG=$MOSQUITTO_LOG
OPENSSL_CONF=$WORK/openssl.cnf client mosquitto_sub -h localhost -p "$MAIN_PORT" --cafile voke/ca.crt --cert voke/device.crt --key voke/device.tpm \
    -V mqttv5 -i "$UUID1" -q 1 -t "cpi/$UUID1/commands" >received 2>sub.err &
SUB=$!
PIDS+=("$SUB")
check "the PLC's client connects" mosquitto_logged "Sending SUBACK to $UUID1" 20

check "all is well" doctor --publish
said '^ok +connack ' "the broker lets it in"
said '^ok +puback ' "and takes its message"
check "under an id of its own" mosquitto_logged "Received PUBLISH from plantcert-doctor-[0-9a-f]{6} .*cpi/$UUID1/status"
check "without --publish" doctor --json
json "the ACL is left alone" '[f["verdict"] for f in d["findings"] if f["step"] == "puback"] == ["skipped"]'
serve revoked
finds 5 certificate-revoked certificate 'revoked' "revoked"
serve stale
finds 5 broker-crl-expired certificate 'CRL' "the broker's CRL has run out"
serve foreign
finds 5 certificate-unknown-ca certificate 'CRL' "the broker has no CRL of our CA"
serve good
check "and all is well again" doctor --publish

# --- the same by TLS 1.2, where the refusal ends the handshake ---
only_version TLSv1.2
cp revoked.crl live.crl
broker broker ours live
finds 5 certificate-revoked certificate 'revoked' "TLS 1.2: revoked"
serve stale
finds 5 broker-crl-expired certificate 'CRL' "TLS 1.2: the broker's CRL has run out"
serve good
check "TLS 1.2: all is well" doctor --publish
broker broker foreign
finds 5 certificate-unknown-ca certificate 'cafile' "TLS 1.2: a certificate of another CA"
unset MOSQUITTO_OPENSSL_CONF

# --- brokers that do not know us, or that we do not know ---
broker broker foreign
finds 5 certificate-unknown-ca certificate 'cafile' "a certificate of another CA"
broker impostor
finds 5 broker-certificate-issuer broker-certificate 'CN=foreign.*trusts /CN=ours' "the PLC trusts the wrong CA"
broker elsewhere
finds 5 broker-certificate-name broker-certificate 'DNS:elsewhere.example' "a broker of another name"
broker over
finds 5 broker-certificate-expired broker-certificate 'plantca broker' "a broker whose certificate has ended"
broker young
finds 5 broker-certificate-early broker-certificate '2040.*clock' "one whose certificate has not begun"
broker client
finds 5 broker-certificate-purpose broker-certificate 'server' "one with a client's certificate"

# --- CONNACK and ACL ---
MOSQUITTO_SETTINGS='use_identity_as_username false' broker
finds 5 connack-not-authorized connack '135|use_identity' "CONNACK rc=5"
MOSQUITTO_SETTINGS='clientid_prefixes plc-' broker
finds 5 connack-not-authorized connack 'clientid_prefixes' "a broker that is choosy about client ids"
MOSQUITTO_SETTINGS='use_identity_as_username false
use_subject_as_username true' broker
finds 5 puback-not-authorized puback "cpi/$UUID1/status.*pattern write" "no ACL for this user"

# --- wrong ports ---
BROKER="localhost:$(free_port)" finds 4 broker-refused broker '8886.*8883' "nobody listens"
BROKER=nowhere.invalid finds 4 broker-name broker 'resolv' "no such host"
plain=$(free_port)
mosquitto -p "$plain" >plain.log 2>&1 &
PIDS+=($!)
wait_for 10 grep -q running plain.log
BROKER="localhost:$plain" finds 4 tls-none tls '1883' "the port of MQTT without TLS"
OPENSSL_CONF=/etc/ssl/openssl.cnf openssl s_server -accept 127.0.0.1:0 -www -cert broker.crt -key broker.key >www.log 2>&1 </dev/null &
PIDS+=($!)
wait_for 10 grep -q '^ACCEPT' www.log
BROKER="localhost:$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' www.log)" finds 4 connack-none connack 'something else than MQTT' "HTTPS"
wait "$silent"
same "$?" 4 "a broker that says nothing"
cp silent.out out
json "is tls-silent" 'd["cause"]["name"] == "tls-silent" and d["cause"]["step"] == "tls"'

# --- a TPM that fails only in the handshake, after the key and the provider have signed: no refusal by the broker ---
check "nothing is left in the TPM" swtpm_is_clean

# --- and the PLC's own client? ---
same "$(grep -cE "already connected|Client $UUID1 (closed|disconnected)" "$MAIN_LOG")" 0 "the client was never thrown off"
mosquitto_pub -h localhost -p "$MAIN_PORT" --cafile ours.crt --cert platform.crt --key platform.key -V mqttv5 -q 1 -t "cpi/$UUID1/commands" -m 'still there'
check "it still gets its commands" wait_for 5 grep -qx 'still there' received
check "and runs" kill -0 "$SUB"
finish
