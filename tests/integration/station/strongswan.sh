#!/usr/bin/env bash
# Somebody else's clients against the station: strongSwan's pki --estca and pki --est, and curl, as the manual shows it. TLS 1.2 and 1.3.
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/est.sh
. "$PC_SOURCE/tests/lib/est.sh"
need curl openssl pki
cd "$WORK" || exit 1
est_prepare 'early-renewal = yes' 'retry-after = 1s' 'rekey-interval = 0'
est_start

# swan VERSION COMMAND…: strongSwan's pki with just that version of TLS.
swan() {
    printf 'libtls {\n version_min = %s\n version_max = %s\n}\n' "$1" "$1" >"strongswan-$1.conf"
    STRONGSWAN_CONF="$WORK/strongswan-$1.conf" pki "${@:2}"
}
fingerprint() { openssl pkey -in "$1" -pubout -outform DER | sha256sum | cut -d' ' -f1; }
chains() { openssl verify -CAfile "$ANCHOR" -purpose sslclient "$1"; }

for version in 1.2 1.3; do
    uuid=c0ffee00-0000-4000-8000-0000000000${version#*.}0
    new_csr "$uuid" "plc$version.key" "plc$version.csr"
    openssl req -in "plc$version.csr" -outform DER -out request.der

    check "TLS $version, pki --estca" swan "$version" --estca --url "$STATION" --cacert "$ANCHOR" --caout "ca$version" --outform pem --force
    same "$(openssl x509 -in "ca$version" -outform DER 2>/dev/null | sha256sum)" "$(openssl x509 -in "$ANCHOR" -outform DER | sha256sum)" "... the root is the root"

    expect 1 "TLS $version, pki --est without a code" swan "$version" --est --url "$STATION" --cacert "$ANCHOR" --in request.der --outform pem
    expect 1 "TLS $version, pki --est with a wrong one" swan "$version" --est --url "$STATION" --cacert "$ANCHOR" --in request.der \
        --userpass "$uuid:AAAAA-AAAAA-AAAAA-AAAAA-AAAAA" --outform pem
    check "TLS $version, pki --est with the code" swan "$version" --est --url "$STATION" --cacert "$ANCHOR" --in request.der \
        --userpass "$uuid:$(code "$uuid")" --outform pem
    cp out "plc$version.crt"
    check "... a certificate by the CA" chains "plc$version.crt"
    same "$(openssl x509 -in "plc$version.crt" -noout -pubkey)" "$(openssl pkey -in "plc$version.key" -pubout)" "... for the key"

    new_csr "$uuid" "next$version.key" "next$version.csr"
    openssl req -in "next$version.csr" -outform DER -out next.der
    check "TLS $version, pki --est with certificate and key: another key" swan "$version" --est --url "$STATION" --cacert "$ANCHOR" --in next.der \
        --cert "plc$version.crt" --key "plc$version.key" --outform pem
    cp out "next$version.crt"
    same "$(openssl x509 -in "next$version.crt" -noout -pubkey)" "$(openssl pkey -in "next$version.key" -pubout)" "... for the new key"
done

uuid=$UUID1
new_csr "$uuid" pending.key pending.csr
openssl req -in pending.csr -outform DER -out pending.der
"$PLANTCA" allow --plant "$uuid" --pending >allow.out 2>&1
swan 1.3 --est --url "$STATION" --cacert "$ANCHOR" --in pending.der --interval 1 --maxpolltime 30 --outform pem >pending.crt 2>pending.err </dev/null &
client=$!
PIDS+=("$client")
waits() { "$PLANTCA" pending --json | grep -q "$(fingerprint pending.key)"; }
check "pki --est of a plant that waits: on the list" wait_for 20 waits
check "approved, while pki asks again" "$PLANTCA" approve "$uuid" "$(fingerprint pending.key)"
wait "$client"
same $? 0 "... and it gets its certificate"
check "... by the CA" chains pending.crt

# curl, in one line each.
check "curl: cacerts" sh -c "curl -sf --cacert '$ANCHOR' '$EST/cacerts' | base64 -d | openssl pkcs7 -inform DER -print_certs | openssl x509 -noout -subject"
check "curl: csrattrs" sh -c "curl -sf --cacert '$ANCHOR' -o attributes '$EST/csrattrs'"
for version in 1.2 1.3; do
    uuid=c0ffee00-0000-4000-8000-0000000001${version#*.}0
    new_csr "$uuid" curl.key curl.csr
    given=$(code "$uuid")
    check "curl, TLS $version: simpleenroll" sh -c "openssl req -in curl.csr -outform DER | base64 | curl -sf --tls-max $version --tlsv$version --cacert '$ANCHOR' -u '$uuid:$given' \
        -H 'Content-Type: application/pkcs10' --data-binary @- '$EST/simpleenroll' | base64 -d | openssl pkcs7 -inform DER -print_certs -out curl.crt"
    check "... a certificate by the CA" chains curl.crt
    check "curl, TLS $version: simplereenroll" sh -c "openssl req -in curl.csr -outform DER | base64 | curl -sf --tls-max $version --tlsv$version --cacert '$ANCHOR' --cert curl.crt --key curl.key \
        -H 'Content-Type: application/pkcs10' --data-binary @- '$EST/simplereenroll' | base64 -d | openssl pkcs7 -inform DER -print_certs -out curl-next.crt"
    check "... a successor by the CA" chains curl-next.crt
    rm -f curl.key
done

# What both kinds of reader need: strongSwan no line ends and a length, libest lines; each gets what it reads.
est cacerts >status
same "$(grep -ci '^content-length: *[0-9]' head)" 1 "Content-Length is there"
same "$(grep -ci '^transfer-encoding' head)" 0 "... and no chunks"
same "$(grep -i '^content-type' head | tr -d '\r' | tr '[:upper:]' '[:lower:]')" 'content-type: application/pkcs7-mime' "... and the media type"
check "the head is shorter than 1024 bytes" test "$(stat -c %s head)" -lt 1024
# libest ends each request with an empty line too many.
printf 'GET /.well-known/est/cacerts HTTP/1.1\r\nUser-Agent: libest 3.2.0p\r\nConnection: close\r\nHost: localhost\r\nAccept: */*\r\n\r\n\r\n' |
    openssl s_client -connect "localhost:$STATION_PORT" -CAfile "$ANCHOR" -quiet -ign_eof >answer 2>/dev/null
same "$(head -n 1 answer | tr -d '\r')" 'HTTP/1.1 200 OK' "libest's request is read"
same "$(tail -n 1 answer | wc -l)" 1 "... and its reply is in lines"
est_stop
same $? 0 "the station ends in good order"
finish
