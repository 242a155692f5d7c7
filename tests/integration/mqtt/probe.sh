#!/bin/bash
# What a broker says to a certificate, heard by src/mqtt/probe: a real mosquitto accepts, refuses, keeps silent, or is another's.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/mosquitto.sh
. "$PC_SOURCE/tests/lib/mosquitto.sh" || exit 1
# shellcheck source=tests/integration/mqtt/authority.sh
. "$PC_SOURCE/tests/integration/mqtt/authority.sh" || exit 1
DRIVER=$(realpath "$1")
need mosquitto openssl
cd "$WORK" || exit 1

ca ours
ca foreign
leaf broker ours broker 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
leaf elsewhere ours elsewhere 'subjectAltName=DNS:elsewhere.example\nextendedKeyUsage=serverAuth'
leaf impostor foreign impostor 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
leaf good ours good 'extendedKeyUsage=clientAuth'
leaf nobody ours '' 'extendedKeyUsage=clientAuth'
leaf over ours broker 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth' -1
leaf ended ours ended 'extendedKeyUsage=clientAuth' -1
leaf canary ours canary 'extendedKeyUsage=clientAuth'
leaf stranger foreign stranger 'extendedKeyUsage=clientAuth'
crl ours -revoke canary.crt
crl ours -gencrl -out ours.crl
crl ours -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out stale.crl
crl foreign -gencrl -out foreign.crl

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

# tells NAME PATTERN CERTIFICATE HOST PORT TIMEOUT [TOPIC]: all that a visit reports.
tells() {
    local name=$1 pattern=$2 out
    shift 2
    out=$("$DRIVER" "$2" "$3" ours.crt "$1.crt" "$1.key" "$4" "${5:--}" 2>&1)
    if printf '%s\n' "$out" | grep -qE -- "$pattern"; then pass "$name"; else fail "$name" "no /$pattern/ in: $out"; fi
}
here() { tells "$1" "$2" "$3" localhost "$MOSQUITTO_PORT" 20 "${@:4}"; }
# peer NAME PYTHON: a server of one's own, `c` the connection that it took; its port is in PEER.
peer() {
    /usr/bin/python3 -c "import socket, struct, time
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(8)
print(s.getsockname()[1], flush=True)
kept = []
while True:
    c = s.accept()[0]; kept.append(c)
    $2" >"$1.port" &
    PIDS+=($!)
    wait_for 10 test -s "$1.port"
    PEER=$(cat "$1.port")
}

for version in TLSv1.2 TLSv1.3; do
    only_version "$version"
    mosquitto_start "$WORK/ours.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/ours.crl" || exit 1
    says "$version: accepted" 0 '^accepted CONNACK 0' good
    says "$version: accepted by name" 0 '^accepted' good localhost
    says "$version: revoked" 0 '^refused .*certificate revoked' canary
    says "$version: of another authority" 0 '^refused .*unknown CA' stranger
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

# --- what is heard on the way, fact by fact ---
unreal=$(free_port 1)
tells 'facts: no such host' '^name late=0 ' good nowhere.invalid 8883 5
tells 'facts: nobody listens' '^tcp late=0 .*refused' good localhost "$unreal" 5
peer silent pass
says 'a broker that says nothing' 4 '^broker-unreachable .*no answer in time' good 127.0.0.1 "$PEER" 1
tells 'facts: it says nothing' '^tls late=1 heard=0 ' good 127.0.0.1 "$PEER" 1
peer banner 'c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")'
tells 'facts: it speaks something else' '^tls late=0 heard=1 tls=0 ' good 127.0.0.1 "$PEER" 20
peer closing 'c.recv(1); c.close()'
tells 'facts: it resets the connection' '^tls late=0 heard=0 ' good 127.0.0.1 "$PEER" 20
peer alert 'c.recv(5); c.sendall(bytes([21, 3, 3, 0, 2, 2, 40]))'
tells 'facts: no common ground' '^tls late=0 heard=1 tls=1 alert=40 ' good 127.0.0.1 "$PEER" 20
mosquitto -p "$unreal" >plain.log 2>&1 &
PIDS+=($!)
wait_for 10 grep -q running plain.log
tells 'facts: MQTT without TLS' '^tls late=0 heard=0 ' good 127.0.0.1 "$unreal" 20

for version in TLSv1.2 TLSv1.3; do
    only_version "$version"
    mosquitto_start "$WORK/ours.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/ours.crl" || exit 1
    for _ in 1 2 3 4 5; do here "facts, $version: revoked" '^identity late=0 .* alert=44 .*broker=shown' canary; done
    here "facts, $version: of another authority" '^identity .* alert=48 ' stranger
    here "facts, $version: expired" '^identity .* alert=45 ' ended
    here "facts, $version: no common name" '^connack .* connack=134 ' nobody
    here "facts, $version: its own topic" '^done .* connack=0 puback=(0|16) ' good cpi/good/status
    here "facts, $version: another's topic" '^puback .* connack=0 puback=135 .*Not authorized' good cpi/other/status
    mosquitto_start "$WORK/ours.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/stale.crl" || exit 1
    here "facts, $version: a CRL that has ended" '^identity .* alert=45 ' good
    mosquitto_start "$WORK/ours.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/foreign.crl" || exit 1
    here "facts, $version: no CRL of the issuer" '^identity .* alert=48 ' good
done
mosquitto_start "$WORK/ours.crt" "$WORK/elsewhere.crt" "$WORK/elsewhere.key" || exit 1
here 'facts: a broker of another name' '^trust .* untrusted=62 .*broker=shown' good
mosquitto_start "$WORK/ours.crt" "$WORK/impostor.crt" "$WORK/impostor.key" || exit 1
here 'facts: a broker of another authority' '^trust .* untrusted=20 .*broker=shown' good
mosquitto_start "$WORK/ours.crt" "$WORK/over.crt" "$WORK/over.key" || exit 1
here 'facts: a broker whose certificate has ended' '^trust .* untrusted=10 .*broker=shown' good

# A resolver that never answers: of this process's own, where it may have one.
/usr/bin/python3 -c 'import random, socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.77.%d.%d" % (random.randrange(1, 255), random.randrange(1, 255)), 53))
print("nameserver", s.getsockname()[0], flush=True)
time.sleep(60)' >resolv.conf 2>/dev/null &
PIDS+=($!)
if unshare -m true 2>/dev/null && wait_for 3 test -s resolv.conf; then
    echo 'hosts: dns' >nsswitch.conf
    # shellcheck disable=SC2016 # for the shell inside
    check 'a resolver that does not answer' timeout 4 unshare -m sh -c 'mount --bind resolv.conf /etc/resolv.conf &&
        mount --bind nsswitch.conf /etc/nsswitch.conf && exec "$@"' sh \
        "$DRIVER" broker.example 8883 ours.crt good.crt good.key 1 -
    said '^name late=1 ' "is told when the time is up"
else
    skip 'a resolver that does not answer' 'no mount namespace, or no port 53'
fi
finish
