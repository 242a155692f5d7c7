#!/bin/bash
# A PLC of another architecture, from nothing to a TLS connection: plantcert, the provider and openssl are that architecture's, under the
# emulator; the TPM, the CA and the server are this machine's. Usage: enrolment.sh SYSROOT EMULATOR…
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
root=${1:?} emulator=("${@:2}")
need "${emulator[0]:?}" "$root/usr/bin/openssl"
plc() { timeout 120 "${emulator[@]}" "$PLANTCERT" "$@"; }
foreign_openssl() { OPENSSL_CONF=$WORK/openssl.cnf timeout 120 "${emulator[@]}" "$root/usr/bin/openssl" "$@"; }

# server VERSION: a TLS server of this machine that demands a certificate of our CA and sends lines back reversed; one connection.
server() {
    local attempt
    for attempt in 1 2 3; do
        port=$(free_port)
        openssl s_server -rev -accept "127.0.0.1:$port" "-$1" -cert server.crt -key server.key -CAfile ours.crt -Verify 2 \
            -verify_return_error -naccept 1 >"server.$1" 2>&1 &
        server=$!
        PIDS+=("$server")
        wait_for 10 grep -q ACCEPT "server.$1" && return 0
    done
    fail "a server, after $attempt attempts" "$(cat "server.$1")"
}
foreign_client() {
    printf 'desserts\nCLOSE\n' | foreign_openssl s_client "-$1" -quiet -connect "127.0.0.1:$port" -CAfile voke/ca.crt \
        -cert voke/device.crt -key voke/device.tpm -verify_return_error
}
# handshake VERSION: the foreign openssl connects with the installed files, and is answered.
handshake() {
    server "$1"
    check "$key $store: openssl s_client, $1" foreign_client "$1" || stop "$server"
    said '^stressed' "$key $store: is answered, $1"
    wait "$server"
    same "$(grep -c "depth=0 CN = $UUID1" "server.$1")" 1 "$key $store: the server has seen the PLC's certificate, $1"
}

plc_start
cd "$WORK" || exit 1
openssl_ca ours
new_key server.key
openssl req -new -key server.key -subj /CN=localhost -out server.csr
openssl x509 -req -in server.csr -CA ours.crt -CAkey ours.key -set_serial 2 -days 20 -out server.crt 2>/dev/null
sed 's/^key .*//' "$PLANTCERT_CONFIG" >base.conf

for key in rsa:2048 ec:P-256; do
    for store in handle blob; do
        rm -rf voke && mkdir voke
        sed "s/^\[device\]/&\nkey = $key\nstore = $store/" base.conf >"$PLANTCERT_CONFIG"
        check "$key $store: keygen" plc keygen
        check "$key $store: request" plc request -o plc.csr
        check "$key $store: openssl verifies the request" openssl req -in plc.csr -verify -noout
        said 'self-signature verify OK' "$key $store: its signature is right"
        openssl_sign ours "$UUID1" plc.csr plc.crt 30000
        check "$key $store: install" plc install --ca ours.crt plc.crt
        check "$key $store: check" plc check
        check "$key $store: status" plc status --json
        json "$key $store: is installed, its key in the TPM" 'd["state"] in ("installed", "due") and d["key_check"]["code"] == 0'
        plc config --openssl | sed "s|^module *=.*|module = $PLANTCERT_MODULE|" >openssl.cnf
        handshake tls1_2
        handshake tls1_3
        check "$key $store: nothing is left loaded" swtpm_is_clean
        expect 0 "$key $store: forget" plc forget --force
    done
done
finish
