#!/bin/bash
# The provider under the programs that use it on a PLC: every client, TLS 1.2 and 1.3, RSA and EC, persistent handle and wrapped blob, the
# provider listed after and before OpenSSL's own. Each handshake must cost
# exactly what one signature costs, whatever the CA is, and leave nothing in the TPM. Each program meets each key once, and each version and
# order twice; "matrix.sh all" tries all of their combinations.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh"
# shellcheck source=tests/lib/mosquitto.sh
. "$PC_SOURCE/tests/lib/mosquitto.sh"
# shellcheck source=tests/integration/provider/setup.sh
. "$PC_SOURCE/tests/integration/provider/setup.sh"
PATH=$PATH:/usr/sbin
need mosquitto mosquitto_pub mosquitto_sub curl /usr/bin/python3
export OPENSSL_CONF=$DEFAULT_CONF
provider_setup
/usr/bin/python3 -c 'import paho.mqtt.client' 2>/dev/null || need python3-paho-mqtt

# --- certificates: a 4096-bit RSA root, as the platform has ---
cd "$WORK" || exit 1
uuid_of() { printf 'a1b2c3d4-0000-4000-8000-%012x' "$((16#$(printf %s "$1" | cksum | cut -c1-6)))"; }
setup_certificates() {
    openssl req -x509 -newkey rsa:4096 -nodes -keyout ca.key -out ca.crt -days 30 -subj '/C=CZ/O=Test/CN=Test Root CA' \
        -addext 'keyUsage=critical,keyCertSign,cRLSign' || return
    printf '%s\n' '[ca]' 'default_ca = d' '[d]' 'database = index' 'default_md = sha256' >ca.cnf
    : >index
    openssl ca -config ca.cnf -gencrl -keyfile ca.key -cert ca.crt -crldays 30 -out ca.crl || return
    printf '%s\n' 'subjectAltName = DNS:localhost,IP:127.0.0.1' 'extendedKeyUsage = serverAuth' >server.ext
    printf '%s\n' 'basicConstraints = critical,CA:FALSE' 'keyUsage = critical,digitalSignature' \
        'extendedKeyUsage = clientAuth' >device.ext
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -subj /CN=localhost -out server.csr || return
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout platform.key -subj /CN=platform -out platform.csr || return
    certify server server.ext && certify platform device.ext
}
certify() { openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -days 30 -extfile "$2" -out "$1.crt"; }
setup_certificates >setup.log 2>&1 || {
    echo "Bail out! no certificates: $(tail -n 2 setup.log)"
    exit 1
}

declare -A CONF
CONF[default]=$(provider_conf default-first "$RECORDED" yes default plantcert)
CONF[plantcert]=$(provider_conf plantcert-first "$RECORDED" yes plantcert default)
for key in $KEYS; do
    OPENSSL_CONF=${CONF[default]} check "$key: a request signed in the TPM" client openssl req -new -key "$key.tpm" \
        -subj "/CN=$(uuid_of "$key")" -out "$key.csr"
    check "$key: its certificate" certify "$key" device.ext
done

# --- servers: each speaks one version, so that the clients' configuration is the users' own. The group P-256 makes the clients
# generate ephemeral keys of the very kind that our key management handles. ---
only_version() {
    printf '%s\n' 'openssl_conf = init' '[init]' 'ssl_conf = ssl' '[ssl]' 'system_default = only' '[only]' \
        "MinProtocol = $1" "MaxProtocol = $1" 'Groups = P-256' >"$WORK/$1.cnf"
}
tls_server_ready() { grep -q '^ACCEPT' "$WORK/server-$1.log" || ! kill -0 "$SERVER_PID" 2>/dev/null; }
declare -A BROKER SERVER
export MOSQUITTO_OPENSSL_CONF MOSQUITTO_ACL
MOSQUITTO_ACL=$(printf '%s\n' 'user platform' 'topic write cpi/+/commands')
for version in TLSv1.2 TLSv1.3; do
    only_version $version
    MOSQUITTO_OPENSSL_CONF=$WORK/$version.cnf
    mosquitto_start "$WORK/ca.crt" "$WORK/server.crt" "$WORK/server.key" "$WORK/ca.crl" || exit 1
    BROKER[$version]=$MOSQUITTO_PORT
    OPENSSL_CONF=$WORK/$version.cnf openssl s_server -accept 127.0.0.1:0 -www -cert server.crt -key server.key -CAfile ca.crt \
        -Verify 1 -verify_return_error >"server-$version.log" 2>&1 </dev/null &
    SERVER_PID=$!
    PIDS+=("$SERVER_PID")
    wait_for 10 tls_server_ready $version
    SERVER[$version]=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "server-$version.log")
    [ -n "${SERVER[$version]}" ] || fail "$version: no TLS server" "$(cat "server-$version.log")"
    for key in $KEYS; do
        mosquitto_pub -h localhost -p "$MOSQUITTO_PORT" --cafile ca.crt --cert platform.crt --key platform.key -V mqttv5 -q 1 -r \
            -t "cpi/$(uuid_of "$key")/commands" -m "command for $key" 2>>setup.log || fail "$version: no command could be left"
    done
done

# --- clients ---
mqtt_options() { echo -h localhost -p "${BROKER[$2]}" --cafile ca.crt --cert "$1.crt" --key "$1.tpm" -V mqttv5 -i "$(uuid_of "$1")"; }
run_pub() {
    # shellcheck disable=SC2046
    client timeout 60 mosquitto_pub $(mqtt_options "$1" "$2") -q 1 -t "cpi/$(uuid_of "$1")/telemetry" -m '{}'
}
run_sub() {
    # shellcheck disable=SC2046
    client timeout 60 mosquitto_sub $(mqtt_options "$1" "$2") -q 1 -t "cpi/$(uuid_of "$1")/commands" -C 1 -W 20 | grep -qx "command for $1"
}
run_curl() {
    client curl -sS --fail --max-time 20 --cacert ca.crt --cert "$1.crt" --key "$1.tpm" -o page "https://localhost:${SERVER[$2]}/" &&
        grep -q "$2" page
}
run_s_client() {
    printf 'GET / HTTP/1.0\r\n\r\n' | client timeout 60 openssl s_client -connect "127.0.0.1:${SERVER[$2]}" -servername localhost \
        -verify_hostname localhost -CAfile ca.crt -verify_return_error -cert "$1.crt" -key "$1.tpm" -ign_eof -quiet >page &&
        grep -q '^HTTP/1.0 200' page
}
run_python() { client timeout 60 /usr/bin/python3 "$PC_SOURCE/tests/integration/provider/client.py" ssl "${SERVER[$2]}" ca.crt "$1.crt" "$1.tpm"; }
run_paho() {
    client timeout 60 /usr/bin/python3 "$PC_SOURCE/tests/integration/provider/client.py" paho "${BROKER[$2]}" ca.crt "$1.crt" "$1.tpm" \
        "$(uuid_of "$1")"
}

# one CLIENT KEY VERSION CONF WHAT
one() {
    local asked
    if [ "$1" = curl ] && [ -n "${PC_PRELOAD:-}" ]; then
        skip "$5" "$CURL_SANITIZED"
        return
    fi
    : >"$COMMANDS"
    if ! OPENSSL_CONF=$4 "run_$1" "$2" "$3" >one.out 2>&1 </dev/null; then
        fail "$5" "$(head -c 2000 one.out)"
        return
    fi
    asked=$(tpm_was_asked)
    if [ "$asked" != "$(tpm_signature "$2")" ]; then
        fail "$5" "connected, but the TPM was asked for $asked"
    elif ! swtpm_is_clean 2>one.out; then
        fail "$5" "connected, but $(cat one.out)"
    else
        pass "$5 ($(grep -c . "$COMMANDS") TPM commands)"
    fi
}
nth=0
for first in default plantcert; do
    for version in TLSv1.2 TLSv1.3; do
        for program in pub sub curl s_client python paho; do
            for key in $KEYS; do
                if [ "${1:-}" = all ] || [ $((nth % 4)) = 0 ]; then
                    one $program "$key" $version "${CONF[$first]}" "$program, $key, $version, $first listed first"
                fi
                nth=$((nth + 1))
            done
            nth=$((nth + 1))
        done
        nth=$((nth + 3))
    done
done

# --- what must not work ---
OPENSSL_CONF=$DEFAULT_CONF expect 1 'the TLS 1.2 server speaks nothing newer' openssl s_client -connect "127.0.0.1:${SERVER[TLSv1.2]}" -tls1_3
OPENSSL_CONF=$DEFAULT_CONF expect 1 'the TLS 1.3 server speaks nothing older' openssl s_client -connect "127.0.0.1:${SERVER[TLSv1.3]}" -tls1_2
cp rsa-handle.tpm other.tpm
cp ec-handle.crt other.crt
if OPENSSL_CONF=${CONF[default]} run_s_client other TLSv1.3 >one.out 2>&1; then
    fail "another key's certificate is refused"
else
    pass "another key's certificate is refused"
fi
MOSQUITTO_PORT=${BROKER[TLSv1.3]}
# shellcheck disable=SC2046
OPENSSL_CONF=${CONF[default]} check "another plant's topic, as mosquitto_pub sees it" client timeout 60 mosquitto_pub $(mqtt_options ec-handle TLSv1.3) -q 1 \
    -t "cpi/$(uuid_of rsa-handle)/telemetry" -m '{}'
said 'Not authorized' "another plant's topic is refused"
finish
