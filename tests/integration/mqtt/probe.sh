#!/bin/bash
# What a broker says to a certificate, heard by src/mqtt/probe: a real mosquitto accepts, refuses, keeps silent, or is another's.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/mosquitto.sh
. "$PC_SOURCE/tests/lib/mosquitto.sh" || exit 1
DRIVER=$(realpath "$1")
need mosquitto openssl
cd "$WORK" || exit 1

ca() { # NAME: a root of its own
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" -keyout "$1.key" -out "$1.crt" 2>/dev/null
    mkdir "$1.db" && : >"$1.db/index" && echo 1000 >"$1.db/number"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\ncrlnumber=%s/number\ndefault_md=sha256\ndefault_crl_days=30\n' \
        "$1.db" "$1.db" >"$1.db/conf"
}
leaf() { # NAME CA CN EXTENSIONS
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    printf '%b\n' "$4" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -days 10 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
}
crl() { openssl ca -batch -config "$1.db/conf" -keyfile "$1.key" -cert "$1.crt" "${@:2}" 2>/dev/null; }

ca ours
ca foreign
leaf broker ours broker 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
leaf elsewhere ours elsewhere 'subjectAltName=DNS:elsewhere.example\nextendedKeyUsage=serverAuth'
leaf impostor foreign impostor 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
leaf good ours good 'extendedKeyUsage=clientAuth'
leaf canary ours canary 'extendedKeyUsage=clientAuth'
leaf stranger foreign stranger 'extendedKeyUsage=clientAuth'
crl ours -revoke canary.crt
crl ours -gencrl -out ours.crl

# probe CERTIFICATE [HOST [PORT [TIMEOUT]]]
probe() { "$DRIVER" "${2:-127.0.0.1}" "${3:-$MOSQUITTO_PORT}" ours.crt "$1.crt" "$1.key" "${4:-20}"; }
# says NAME STATUS PATTERN CERTIFICATE …: the probe's exit status and what it prints
says() {
    local name=$1 status=$2 pattern=$3 out code=0
    shift 3
    out=$(probe "$@") || code=$?
    if [ "$code" -eq "$status" ] && printf '%s\n' "$out" | grep -qE -- "$pattern"; then
        pass "$name"
    else
        fail "$name" "exit $code, not $status: $out"
    fi
}

for version in tlsv1.2 tlsv1.3; do
    mosquitto_start "$WORK/ours.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/ours.crl" "$version" || exit 1
    says "$version: accepted" 0 '^accepted CONNACK 0' good
    says "$version: accepted by name" 0 '^accepted' good localhost
    says "$version: revoked" 0 '^refused .*(revoked|without CONNACK)' canary
    says "$version: of another authority" 0 '^refused .*(unknown CA|without CONNACK)' stranger
done
says 'nobody listens' 4 '^broker-unreachable .*Connection refused' good 127.0.0.1 "$(free_port 1)"
says 'no such host' 4 '^broker-unreachable ' good nowhere.invalid

# mosquitto fails open: without its CRL the canary gets in, and that is what the probe is there to see.
mosquitto_start "$WORK/ours.crt" "$WORK/broker.crt" "$WORK/broker.key" || exit 1
says 'a broker without a CRL lets the canary in' 0 '^accepted' canary
mosquitto_start "$WORK/ours.crt" "$WORK/elsewhere.crt" "$WORK/elsewhere.key" || exit 1
says 'a broker of another name' 4 '^broker-certificate .*mismatch' good
mosquitto_start "$WORK/ours.crt" "$WORK/impostor.crt" "$WORK/impostor.key" || exit 1
says 'a broker of another authority' 4 '^broker-certificate ' good
says 'the canary proves nothing there' 4 '^broker-certificate ' canary

# Takes the connection, and says nothing; the port is printed once it listens.
/usr/bin/python3 -c 'import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(8)
print(s.getsockname()[1], flush=True)
time.sleep(60)' >silent &
PIDS+=($!)
wait_for 10 test -s silent
says 'a broker that says nothing' 4 '^broker-unreachable .*no answer in time' good 127.0.0.1 "$(cat silent)" 1
finish
