# shellcheck shell=bash
# PLCs that speak EST by curl, with a station beside them: token, CA, `plantca serve --single` on a free port of loopback. Sourced after
# common.sh and tests/cli/setup.sh.
# Use: est_prepare 'early-renewal = yes' …; est_start; code "$UUID1"; enrolled plc "$UUID1"; finish
# shellcheck source=tests/lib/station.sh
. "${PC_SOURCE:?}/tests/lib/station.sh"

# est_prepare [SETTING…]: a CA, if there is none, and a section [station] with these lines. Nothing runs yet.
est_prepare() {
    [ -e "${PLANTCA_CONFIG:-}" ] || ca_start
    {
        printf '[station]\nlisten = 127.0.0.1:%s\nname = localhost\nnetwork-user = nobody\n' "$(free_port)"
        [ $# -eq 0 ] || printf '%s\n' "$@"
    } >>"$PLANTCA_CONFIG"
}

# est_start: the station; sets STATION_PORT, STATION, EST (urls) and ANCHOR besides what station_start does.
est_start() {
    station_start --single
    STATION=https://localhost:$STATION_PORT
    EST=$STATION/.well-known/est
    ANCHOR=$WORK/state/ca.crt
    export STATION STATION_PORT EST ANCHOR
    wait_for 30 curl -sf --cacert "$ANCHOR" -o /dev/null "$EST/cacerts" && return
    echo "Bail out! the station does not answer: $(cat "$WORK/station.err")"
    exit 1
}

# est_stop: to its end; fails when the station does.
est_stop() {
    kill -TERM "$STATION_PID"
    wait "$STATION_PID"
}

# code UUID [OPTION…]: admits the plant by a one-time code, which it prints.
code() { "$PLANTCA" allow --plant "$1" --code --json "${@:2}" 2>>"$WORK/allow.err" | sed -n 's/.*"code": *"\([^"]*\)".*/\1/p'; }

# body_of CSR FILE: the body of a request: base64 of DER.
body_of() { openssl req -in "$1" -outform DER | base64 -w0 >"$2"; }

# est PATH [CURL-OPTION…]: the status of the reply; its head in $WORK/head, its body in $WORK/body. 000: the connection was refused.
est() {
    rm -f "$WORK/head" "$WORK/body"
    curl -sS --cacert "$ANCHOR" -D "$WORK/head" -o "$WORK/body" -w '%{http_code}' "${@:2}" "$EST/$1" 2>"$WORK/curl.err"
}

# post PATH CSR [CURL-OPTION…]: the same with a request as the body.
post() {
    body_of "$2" "$WORK/body.in"
    est "$1" -H 'Content-Type: application/pkcs10' --data-binary "@$WORK/body.in" "${@:3}"
}

# received FILE: the certificates of the last reply, as PEM.
received() { base64 -d -i "$WORK/body" | openssl pkcs7 -inform DER -print_certs | sed -n '/BEGIN/,/END/p' >"$1"; }

# enrolled NAME UUID: a PLC with $WORK/NAME.key and $WORK/NAME.crt, admitted by a code and enrolled.
enrolled() {
    new_csr "$2" "$WORK/$1.key" "$WORK/$1.csr"
    [ "$(post simpleenroll "$WORK/$1.csr" -u "$2:$(code "$2")")" = 200 ] && received "$WORK/$1.crt"
}
