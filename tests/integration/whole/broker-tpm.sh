#!/bin/bash
# A broker host with a TPM of its own, as plantca-broker(1) tells the administrator: mosquitto's key is made by plantcert keygen and never
# leaves the TPM; openssl writes the request; plantca certifies it. Clients with RSA and EC keys, TLS 1.2 and 1.3; one signature a handshake.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/mosquitto.sh
. "$PC_SOURCE/tests/lib/mosquitto.sh"
# shellcheck source=tests/integration/provider/setup.sh
. "$PC_SOURCE/tests/integration/provider/setup.sh"
PATH=$PATH:/usr/sbin
need mosquitto mosquitto_pub openssl
need_swtpm "$RECORDER" "$PLANTCERT_MODULE"
export OPENSSL_CONF=$DEFAULT_CONF
ca_start
swtpm_start broker-tpm
cd "$WORK" || exit 1
HOST=mqtt.voke.lovinka.com

# broker_host NAME KEY STORE: what lies on the broker's host, by the steps of the manual page; the broker's key file is NAME/broker.tpm.
broker_host() {
    mkdir -p "$1/plantcert"
    printf '%s\n' '[device]' "dir = $WORK/$1/plantcert" "key = $2" "store = $3" \
        '[tpm]' "tcti = $SWTPM_TCTI" 'allow-simulator = yes' >"$1/broker.conf"
    check "$1: keygen" "$PLANTCERT" -c "$1/broker.conf" keygen || return
    check "$1: the key file where mosquitto finds it" install -m 0640 "$1/plantcert/pending/key.tpm" "$1/broker.tpm"
    "$PLANTCERT" -c "$1/broker.conf" config --openssl >"$1/openssl.cnf"
    sed -i "s|^module *=.*|module = $PLANTCERT_MODULE|" "$1/openssl.cnf"
    OPENSSL_CONF=$1/openssl.cnf check "$1: the request" \
        client openssl req -new -key "$1/broker.tpm" -subj "/CN=$HOST" -out "$1/broker.csr"
    check "$1: plantca broker --csr" "$PLANTCA" broker --csr "$1/broker.csr" -o "$1/broker.crt"
    same "$(openssl x509 -in "$1/broker.crt" -noout -pubkey)" "$(openssl req -in "$1/broker.csr" -noout -pubkey)" \
        "$1: certifies the key in the TPM"
}
# broker_start NAME [CERTIFICATE [KEY]]: mosquitto with that host's key; what it asks of the TPM is recorded.
broker_start() {
    MOSQUITTO_OPENSSL_CONF=$WORK/$1/openssl.cnf
    MOSQUITTO_ENV=("PLANTCERT_TCTI=$RECORDER:log=$COMMANDS|$SWTPM_TCTI")
    [ -z "${PC_PRELOAD:-}" ] || MOSQUITTO_ENV+=("LD_PRELOAD=$PC_PRELOAD" ASAN_OPTIONS=detect_leaks=0)
    mosquitto_start "$WORK/published/ca/ca.crt" "$WORK/${2:-$1/broker.crt}" "$WORK/${3:-$1/broker.tpm}" "$WORK/published/ca/ca.crl"
}
# pub CLIENT VERSION: a plant publishes, and the broker takes it (mosquitto_pub only warns of a refusal); only this version of TLS is on offer.
pub() {
    local words
    words=$(publish "$@" 2>&1) && [ -z "$words" ] && return
    echo "$words"
    return 1
}
publish() {
    OPENSSL_CONF=$WORK/$2.cnf timeout 60 mosquitto_pub -h localhost -p "$MOSQUITTO_PORT" --cafile published/ca/ca.crt \
        --cert "$1.crt" --key "$1.key" -V mqttv5 -i "$(plant_of "$1")" -q 1 -t "cpi/$(plant_of "$1")/telemetry" -m "from $1"
}
plant_of() {
    case $1 in rsa) echo "$UUID1" ;; ec) echo "$UUID2" ;; stolen) echo a1b2c3d4-0000-4000-8000-000000000003 ;; esac
}
for version in TLSv1.2 TLSv1.3; do
    printf '%s\n' 'openssl_conf = init' '[init]' 'ssl_conf = ssl' '[ssl]' 'system_default = only' '[only]' \
        "MinProtocol = $version" "MaxProtocol = $version" >"$version.cnf"
done

# --- the plants, with software keys ---
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key 2>/dev/null
for name in rsa ec stolen; do
    new_csr "$(plant_of $name)" $name.key $name.csr
    check "a plant, $name" "$PLANTCA" sign --plant "$(plant_of $name)" $name.csr -o $name.crt
done

# --- the broker's host ---
broker_host rsa-handle rsa:2048 handle
cp rsa-handle/broker.crt first.crt
MADE=$(cat rsa-handle/broker.tpm)
check "keygen again" "$PLANTCERT" -c rsa-handle/broker.conf keygen
same "$(cat rsa-handle/plantcert/pending/key.tpm)" "$MADE" "is the same key"
OPENSSL_CONF=rsa-handle/openssl.cnf client openssl req -new -key rsa-handle/broker.tpm -subj "/CN=$HOST" -out other.csr \
    -addext 'subjectAltName=DNS:elsewhere.example' 2>/dev/null
expect 5 "a request for other names is refused" "$PLANTCA" broker --csr other.csr -o other.crt --json
json "by name" 'd["error"]["name"] == "request-san"'
OPENSSL_CONF=rsa-handle/openssl.cnf client openssl req -new -key rsa-handle/broker.tpm -subj "/CN=$HOST" -out same.csr \
    -addext "subjectAltName=DNS:$HOST,DNS:localhost,DNS:cpi-mosquitto,IP:127.0.0.1" 2>/dev/null
check "a request for exactly the names that it gets" "$PLANTCA" broker --csr same.csr -o same.crt
check "gets the certificate that is current" cmp same.crt first.crt
broker_host ec-blob ec:P-256 blob
broker_host ec-handle ec:P-256 handle
same "$(grep -rlE 'BEGIN (RSA |EC |ENCRYPTED )?PRIVATE KEY' rsa-handle ec-handle ec-blob)" "" "no private key lies on the broker's host"
check "publish" "$PLANTCA" publish

# --- every key, every version, every kind of client ---
for host in rsa-handle ec-blob ec-handle; do
    broker_start $host || {
        fail "$host: mosquitto starts"
        continue
    }
    for version in TLSv1.2 TLSv1.3; do
        for name in rsa ec; do
            : >"$COMMANDS"
            check "$host: $name client, $version" pub $name $version
            same "$(tpm_asked "$TPM_SIGN")" 1 "$host: $name client, $version: one signature in the TPM"
        done
    done
    check "$host: nothing is left in the TPM" swtpm_is_clean
    [ $host = ec-handle ] || stop "$MOSQUITTO_PID"
done

# --- what must not work; the broker is ec-handle's ---
check "a plant is stolen" "$PLANTCA" revoke --plant "$(plant_of stolen)" --reason keyCompromise
check "before the broker knows" pub stolen TLSv1.3
check "publish the CRL" "$PLANTCA" publish
mosquitto_reload
expect 1 "the stolen one is refused" pub stolen TLSv1.2
check "the others are not" pub ec TLSv1.3
swtpm_stop
expect 1 "the TPM does not answer: no connection" pub rsa TLSv1.3
check "and the broker lives" kill -0 "$MOSQUITTO_PID"
swtpm_run
check "the TPM is back" pub rsa TLSv1.3
stop "$MOSQUITTO_PID"
expect 1 "another key's certificate: mosquitto does not start" broker_start ec-handle rsa-handle/broker.crt
swtpm_stop
swtpm_start other-tpm
broker_start ec-handle
expect 1 "another TPM: no connection" pub ec TLSv1.3
expect 1 "nor with TLS 1.2" pub rsa TLSv1.2
finish
