#!/bin/bash
# TLS servers whose key is in the TPM: openssl s_server, Python and mosquitto, TLS 1.2 and 1.3, RSA and EC, handle and blob, the provider
# listed after and before OpenSSL's own. The clients have software keys, must show them, and are certified by a root of 4096 bits: each
# handshake costs ReadPublic and Sign (a blob: Load and Flush, too), so nothing else is done in the TPM. "server.sh all"
# tries each key in both orders.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh"
# shellcheck source=tests/lib/mosquitto.sh
. "$PC_SOURCE/tests/lib/mosquitto.sh"
# shellcheck source=tests/integration/provider/setup.sh
. "$PC_SOURCE/tests/integration/provider/setup.sh"
PATH=$PATH:/usr/sbin
need mosquitto mosquitto_pub /usr/bin/python3
export OPENSSL_CONF=$DEFAULT_CONF
provider_setup
cd "$WORK" || exit 1
declare -A CONF
CONF[default]=$(provider_conf default-first "$RECORDED" yes default plantcert)
CONF[plantcert]=$(provider_conf plantcert-first "$RECORDED" yes plantcert default)

# --- certificates ---
certify() { openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -days 30 -extfile "$2" -out "$1.crt"; }
software() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$1" -out "$1.csr"; }
setup_certificates() {
    openssl req -x509 -newkey rsa:4096 -nodes -keyout ca.key -out ca.crt -days 30 -subj '/C=CZ/O=Test/CN=Test Root CA' \
        -addext 'keyUsage=critical,keyCertSign,cRLSign' || return
    printf '%s\n' 'subjectAltName = DNS:localhost,IP:127.0.0.1' 'extendedKeyUsage = serverAuth' >server.ext
    printf '%s\n' 'keyUsage = critical,digitalSignature' 'extendedKeyUsage = clientAuth' >client.ext
    software plant && certify plant client.ext || return
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout stranger.key -subj /CN=stranger -out stranger.crt -days 30 || return
    for key in $KEYS; do
        OPENSSL_CONF=${CONF[default]} client openssl req -new -key "$key.tpm" -subj /CN=localhost -out "$key.csr" && certify "$key" server.ext || return
    done
}
setup_certificates >setup.log 2>&1 || {
    echo "Bail out! no certificates: $(tail -n 2 setup.log)"
    exit 1
}

# --- servers: serve_WHAT KEY CONF VERSION sets PORT and SERVER ---
announced() { grep -q "$1" server.log || ! kill -0 "$SERVER" 2>/dev/null; }
serve_s_server() {
    OPENSSL_CONF=$2 client exec openssl s_server -accept 127.0.0.1:0 -www -cert "$1.crt" -key "$1.tpm" -CAfile ca.crt -Verify 1 \
        -verify_return_error >server.log 2>&1 </dev/null &
    SERVER=$!
    PIDS+=("$SERVER")
    wait_for 30 announced '^ACCEPT .*:[0-9]*$'
    PORT=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.log)
    [ -n "$PORT" ]
}
serve_python() {
    OPENSSL_CONF=$2 client exec /usr/bin/python3 "$PC_SOURCE/tests/integration/provider/server.py" "$1.crt" "$1.tpm" ca.crt "${3/./_}" \
        >server.log 2>&1 </dev/null &
    SERVER=$!
    PIDS+=("$SERVER")
    wait_for 30 announced '^[0-9][0-9]*$'
    PORT=$(sed -n '/^[0-9]*$/p' server.log)
    [ -n "$PORT" ]
}
serve_mosquitto() {
    MOSQUITTO_ENV=()
    [ -z "${PC_PRELOAD:-}" ] || MOSQUITTO_ENV+=("LD_PRELOAD=$PC_PRELOAD" ASAN_OPTIONS=detect_leaks=0)
    MOSQUITTO_OPENSSL_CONF=$2 mosquitto_start "$WORK/ca.crt" "$WORK/$1.crt" "$WORK/$1.tpm" || return
    PORT=$MOSQUITTO_PORT SERVER=$MOSQUITTO_PID
}

# --- clients ---
ask() { # VERSION [OPTION…]: a page over TLS, by a client that the server knows
    local version=$1
    shift
    printf 'GET / HTTP/1.0\r\n\r\n' | timeout 30 openssl s_client -connect "127.0.0.1:$PORT" -verify_hostname localhost -CAfile ca.crt \
        -verify_return_error -cert plant.crt -key plant.key -ign_eof -quiet "-$version" "$@" >page 2>ask.err && grep -q '^HTTP/1.0 200' page
}
publish() { # VERSION
    local words
    words=$(timeout 30 mosquitto_pub -h localhost -p "$PORT" --cafile ca.crt --cert plant.crt --key plant.key --tls-version "${1/_/.}" -V mqttv5 \
        -q 1 -t cpi/plant/telemetry -m '{}' 2>&1) && [ -z "$words" ] && return
    echo "$words"
    return 1
}
round() { # SERVER KEY ORDER
    local version what call
    for version in tls1_2 tls1_3; do
        if [ "$version" = tls1_2 ] || [ "$1" = python ]; then
            "serve_$1" "$2" "${CONF[$3]}" "$([ $version = tls1_2 ] && echo TLSv1.2 || echo TLSv1.3)" || {
                fail "$1, $2, $3 first: starts" "$(cat server.log)"
                return
            }
        fi
        what="$1, $2, $3 first, $version"
        call="ask $version"
        [ "$1" = mosquitto ] && call="publish ${version/tls1_/tlsv1_}"
        : >"$COMMANDS"
        # shellcheck disable=SC2086
        check "$what" $call
        same "$(tpm_was_asked)" "$(tpm_signature "$2")" "$what: the TPM made one signature, and did nothing else"
        if [ "$version" = tls1_3 ] || [ "$1" = python ]; then stop "$SERVER"; fi
    done
}
order=default
for key in $KEYS; do
    round s_server "$key" $order
    [ $order = default ] && order=plantcert || order=default
    [ "${1:-}" != all ] || round s_server "$key" $order
done
round python rsa-handle default
round python ec-blob plantcert
round mosquitto rsa-blob plantcert # the other order: tests/integration/whole/broker-tpm.sh
round mosquitto ec-handle plantcert
check 'nothing is left in the TPM' swtpm_is_clean

# --- what must not work ---
serve_s_server rsa-handle "${CONF[default]}"
: >"$COMMANDS"
refused() { ! "$@" >refused.out 2>&1; }
check 'a key exchange by RSA encryption, which the key does not do, is not offered' refused ask tls1_2 -cipher AES128-GCM-SHA256:@SECLEVEL=0
same "$(cat "$COMMANDS")" '' 'and the TPM is not asked'
check 'the server lives' ask tls1_3
cp plant.crt known.crt && cp plant.key known.key && cp stranger.crt plant.crt && cp stranger.key plant.key
check 'a client that it does not know is refused' refused ask tls1_2
check 'also by TLS 1.3' refused ask tls1_3
cp known.crt plant.crt && cp known.key plant.key
swtpm_stop
check 'without a TPM there is no connection' refused ask tls1_3
swtpm_run
check 'with it there is' ask tls1_3
stop "$SERVER"
expect 1 "another key's certificate: it does not start" client env OPENSSL_CONF="${CONF[default]}" timeout 10 \
    openssl s_server -accept 127.0.0.1:0 -cert ec-blob.crt -key ec-handle.tpm
finish
