#!/usr/bin/env bash
# plantca serve with a signer behind it: a PLC's life by curl, and what happens when a part of the station goes away. --single first, then
# both services by themselves.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/station.sh
. "$PC_SOURCE/tests/lib/station.sh"
need curl openssl
cd "$WORK" || exit 1
export TMPDIR=$WORK
ca_prepare
station_settings 'retry-after = 7s'
expect 5 "no CA" timeout 20 "$PLANTCA" serve --single
"$PLANTCA" init -q
echo 135791 >wrong
chmod 600 wrong
expect 3 "a PIN that is refused" timeout 20 "$PLANTCA" serve --single --pin-file wrong
same "$(ls -d plantca-* 2>/dev/null)" "" "leaves nothing behind"
expect 4 "no token" timeout 20 "$PLANTCA" serve --single -c "$(without_token)"

# est METHOD [CURL-OPTION…]: the answer's status on stdout, its header in header, its body, decoded, in body.
est() {
    local path=$1
    shift
    : >header
    curl -4 -s -m 45 --cacert state/ca.crt -D header -o body.b64 -w '%{http_code}' "$@" "https://localhost:$STATION_PORT/.well-known/est/$path"
    base64 -d body.b64 >body 2>/dev/null
}
# enrol NAME [CURL-OPTION…]: simpleenroll with NAME.csr
enrol() {
    local name=$1
    shift
    openssl req -in "$name.csr" -outform der | base64 >"$name.b64"
    est simpleenroll -H 'Content-Type: application/pkcs10' --data-binary @"$name.b64" "$@"
}
certificates() { openssl pkcs7 -inform der -in body -print_certs; }
# field NAME: of that header
field() { sed -nE "s/^$1: (.*)/\1/Ip" header | tr -d '\r'; }
served() { [ "$(est cacerts)" = 200 ]; }
issued() { [ "$(enrol two)" = 200 ]; }
code() { "$PLANTCA" allow --plant "$1" --code --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["code"])'; }

station_start --single
[ "$(id -u)" -ne 0 ] || same "$(stat -c %U:%a plantca-*/signer.sock)" nobody:600 "the signer's socket is the worker's"
same "$(est cacerts)" 200 "cacerts"
check "... is our CA" cmp <(certificates | openssl x509 -outform der) <(openssl x509 -in state/ca.crt -outform der)
same "$(est csrattrs | tr 4 0)" 200 "csrattrs"

new_csr "$UUID1" one.key one.csr
same "$(enrol one)" 401 "simpleenroll, by nobody known"
same "$(field WWW-Authenticate | cut -d ' ' -f 1)" Basic "... is asked who it is"
code=$(code "$UUID1")
same "$(enrol one -u "$UUID1:0000000000000000")" 401 "with a wrong code"
check "... by a line that names the plant, as claimed" grep -q "simpleenroll from 127.0.0.1: not admitted claimed plant $UUID1," station.err
same "$(enrol one -u "${UUID1^^}:$code")" 401 "with another spelling"
check "... which is told" grep -q "the claimed user '${UUID1^^}' is no plant's UUID" station.err
same "$(enrol one -u "$(printf '\033%.0s' $(seq 36)):x") $(enrol one -u "$code:$UUID1")" "401 401" "with control characters; with user and code the wrong way round"
same "$(tr -d '\n' <station.err | tr -d '[:print:]' | wc -c)" 0 "... neither of which gets into the log as it came"
same "$(enrol one -u "$UUID1:$code")" 200 "with its code"
certificates | openssl x509 >one.crt
check "... a certificate" openssl verify -CAfile state/ca.crt one.crt
same "$(openssl x509 -in one.crt -noout -subject -nameopt multiline | sed -n 's/.*commonName *= //p')" "$UUID1" "... for this plant"
same "$(enrol one -u "$UUID1:$code" && certificates | openssl x509 | cmp - one.crt)" 200 "again, after a lost answer: the same one"
check "the code stands nowhere in the log" sh -c "! grep -F '$code' station.err"

"$PLANTCA" allow -q --plant "$UUID2" --pending
new_csr "$UUID2" two.key two.csr
same "$(enrol two)" 202 "a plant that waits for an operator"
same "$(field Retry-After)" 7 "... is told when to come again"
print=$(openssl pkey -in two.key -pubout -outform der | sha256sum | cut -d ' ' -f 1)
check "who approves its key" "$PLANTCA" approve "$UUID2" "$print"
same "$(enrol two)" 200 "... and then it is served"
certificates | openssl x509 >two.crt

openssl req -in one.csr -outform der | base64 >one.b64
same "$(est simplereenroll -H 'Content-Type: application/pkcs10' --data-binary @one.b64 --cert one.crt --key one.key)" 200 "simplereenroll"
certificates | openssl x509 >one-next.crt
expect 1 "... a new certificate" cmp -s one.crt one-next.crt
same "$(est simplereenroll -H 'Content-Type: application/pkcs10' --data-binary @one.b64 --cert two.crt --key two.key)" 400 "... for nobody else"

# What the worker can reach. The worker links what the signer needs, and has loaded nothing of it.
worker=$(station_worker)
signer=$(pgrep -P "$STATION_PID" | grep -vx "$worker")
if [ "$(id -u)" -eq 0 ]; then
    check "the signer has the module and the ledger" grep -q libsofthsm2 "/proc/$signer/maps"
    same "$(find "/proc/$signer/fd" -lname "$WORK/state/*" | head -c 1)" / "... open"
    expect 1 "the worker has not loaded the module" grep -q softhsm "/proc/$worker/maps"
    same "$(find "/proc/$worker/fd" -printf '%l\n' | sed -E 's/:?\[[^]]*\]//' | sort -u | tr '\n' ' ')" " /dev/null $WORK/station.err anon_inode pipe socket " \
        "... and has nothing open but sockets, pipes, and where it logs"
    "$PC_BUILD/tests/cli/forced" "$worker" "$WORK/pin" "$WORK/state/ledger.db" "$SOFTHSM_MODULE" "$SOFTHSM2_CONF" /etc/hostname "$PLANTCA_CONFIG" >forced 2>&1
    forced=$?
    if [ "$forced" -eq 77 ] || [ -n "${PC_PRELOAD:-}" ]; then
        skip "... and can open nothing" "for x86-64 alone, and not where a sanitizer must open files itself"
    else
        same "$forced $(sort -u forced)" "0 EPERM" "... and can open nothing: PIN, ledger, module, or any file"
        same "$("$PC_BUILD/tests/cli/forced" "$STATION_PID" "$WORK/pin" 2>&1)" opened "... as the master, which is in no sandbox, could"
    fi
else
    skip "what the worker can reach" "only root may look into it"
fi
same "$(est cacerts)" 200 "... it still serves"

# slow.py PORT COMMAND [first]: a request of which the second half (`first`: the whole) comes only after COMMAND; the answer's status.
cat >slow.py <<'PY'
import socket, ssl, subprocess, sys
context = ssl.create_default_context(cafile="state/ca.crt")
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="localhost") as s:
    half = b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n"
    if len(sys.argv) < 4:
        s.sendall(half)
    subprocess.run(sys.argv[2], shell=True, check=True)
    s.sendall((half if len(sys.argv) > 3 else b"") + b"Connection: close\r\n\r\n")
    print((s.recv(4096) or b"- closed").split(b" ")[1].decode())
PY
shown() { openssl s_client -connect "127.0.0.1:$STATION_PORT" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
before=$(shown)
# A reload to the end of what the old worker is told of it.
drained="n=\$(grep -c reloaded station.err); kill -HUP $STATION_PID; until [ \$(grep -c reloaded station.err) -gt \$n ]; do sleep 0.05; done"
same "$(timeout 20 /usr/bin/python3 slow.py "$STATION_PORT" "$drained")" 200 \
    "SIGHUP: a request that has begun is finished"
same "$(timeout 20 /usr/bin/python3 slow.py "$STATION_PORT" "$drained" first)" 200 "... and one that was let in, and had not begun, may begin"
expect 1 "... and others see a new certificate" test "$(shown)" = "$before"
same "$(est cacerts)" 200 "... which they trust"
kill -9 "$(station_worker)"
check "the worker is killed: served again" wait_for 10 served

kill -STOP "$STATION_PID" # nobody starts another
kill -9 "$signer"
same "$(enrol one -u "$UUID1:$code")" 503 "the signer is killed: 503"
same "$(field Retry-After)" 7 "... with the time to come again"
kill -CONT "$STATION_PID"
check "... and served again" wait_for 20 issued
same "$(certificates | openssl x509 | cmp - two.crt)" "" "... nothing is issued twice"
same "$(timeout 30 /usr/bin/python3 slow.py "$STATION_PORT" "kill $STATION_PID; until ! curl -sk https://127.0.0.1:$STATION_PORT/; do sleep 0.1; done")" 200 "SIGTERM: a request that has begun is finished"
wait "$STATION_PID"
same "$?" 0 "... exit status 0"
check "... and says by what" grep -q 'stopped by SIGTERM$' station.err
same "$(ls -d plantca-* 2>/dev/null)" "" "... nothing is left behind"
check "the audit log is whole" "$PLANTCA" audit verify

# The PIN by descriptor is gone with the signer.
cp "$PLANTCA_CONFIG" whole.conf
sed -i '/^pin-file/d' "$PLANTCA_CONFIG"
station_start --single --pin-fd 9 9<pin
same "$(est cacerts)" 200 "the PIN by descriptor"
same "$(find "/proc/$(station_worker)/fd" "/proc/$STATION_PID/fd" -lname "$WORK/pin" 2>/dev/null)" "" "... which neither worker nor master has"
kill -9 "$(pgrep -P "$STATION_PID" | grep -vx "$(station_worker)")"
wait "$STATION_PID"
same "$? $(pgrep -c -P "$STATION_PID")" "1 0" "... and without it no other signer: the station ends, with all of its processes"
cp whole.conf "$PLANTCA_CONFIG"

# A master that cannot tidy up.
station_start --single
check "the signer's socket has a folder" test -S plantca-*/signer.sock
kill -9 "$STATION_PID"
wait "$STATION_PID" 2>/dev/null
tidy() { [ -z "$(compgen -G 'plantca-*')" ]; }
check "... which goes even when the master is killed" wait_for 20 tidy

# Two services.
"$PLANTCA" signer 2>signer.err &
signer=$!
PIDS+=("$signer")
check "the signer by itself" wait_for 20 test -S signer.sock
station_start
status=$(enrol two)
[ "$status" = 200 ] || sed 's/^/# /' station.err signer.err
same "$status" 200 "and the network service"
kill "$signer"
wait "$signer"
same "$?" 0 "the signer is stopped"
check "... and says by what" grep -q 'stopped by SIGTERM$' signer.err
same "$(enrol two) $(field Retry-After)" "503 7" "... 503"
"$PLANTCA" signer 2>signer.err &
signer=$!
PIDS+=("$signer")
check "... started again: served again" wait_for 20 issued
master=$STATION_PID
worker=$(station_worker)
kill -9 "$master"
check "the master is killed: so ends the worker" wait_for 20 test ! -e "/proc/$worker"
finish
