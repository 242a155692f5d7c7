# shellcheck shell=bash
# A station for tests of the device's side, with a CA by openssl alone: tests/lib/est.py and what one says to it. Sourced after setup.sh,
# once there is a PLC.
export http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1

# station_certificate CA [DAYS]: the station's own, for 127.0.0.1.
station_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout est/station.key -out est/station.crt \
        -CA "$1.crt" -CAkey "$1.key" -subj /CN=station -days "${2:-29}" -addext basicConstraints=critical,CA:FALSE \
        -addext subjectAltName=IP:127.0.0.1 -addext extendedKeyUsage=serverAuth -addext keyUsage=critical,digitalSignature 2>/dev/null
}
# station [MAXVERSION]: (re)starts it.
station() {
    [ -z "${STATION:-}" ] || stop "$STATION"
    "$PC_SOURCE/tests/lib/est.py" "$WORK/est" "$PORT" "${1:-TLSv1_3}" >est/out 2>est/err &
    STATION=$!
    PIDS+=("$STATION")
    wait_for 10 grep -q ready est/out || fail "the station starts" "$(cat est/err)"
}
behave() { echo "$*" >est/mode; : >est/log; }
enroll() { "$PLANTCERT" enroll --json "$@"; }
refused() { json "is refused by name" "d[\"error\"][\"name\"] == \"$1\""; }
asked() { grep -cE "$1" est/log; }
key_of() { openssl "$1" -in "$2" -noout -pubkey; }
ours() { swtpm_handles persistent | grep -c '^0x8102'; }

# est_prepare: its CA, another one, and the PLC's settings; it does not run yet.
est_prepare() {
    mkdir est
    openssl_ca CA
    openssl_ca FOREIGN
    cp CA.crt CA.key FOREIGN.crt FOREIGN.key est/
    cp CA.crt est/cacerts.pem
    station_certificate CA
    PORT=$(free_port)
    printf '[station]\nurl = https://127.0.0.1:%s\ntimeout = 20s\n[renew]\nbefore = 10d\n' "$PORT" >>"$PLANTCERT_CONFIG"
    behave ok
}
