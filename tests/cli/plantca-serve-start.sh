#!/usr/bin/env bash
# plantca serve: how it starts and what it refuses to start with, its sockets, its processes, its reload; without a signer.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/station.sh
. "$PC_SOURCE/tests/lib/station.sh"
need openssl curl
cd "$WORK" || exit 1
export PLANTCA_CONFIG=$WORK/plantca.conf

# server NAME CN [DAYS]: a server's certificate and key by openssl alone.
server() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" -days "${3:-30}" -subj "/CN=$2" \
        -addext "subjectAltName=DNS:$2" 2>/dev/null
    chmod 600 "$1.key"
}
server one localhost
server two localhost
server other other.example
configure() { # LINES…: the configuration of a station with them
    { printf '[ca]\nstate = %s\n[station]\nsocket = %s\n' "$WORK/state" "$WORK/none.sock"
      [ "$(id -u)" -ne 0 ] || echo 'network-user = nobody'
      printf '%s\n' "$@"; } >"$PLANTCA_CONFIG"
}
files=("certificate = $WORK/one.crt" "key = $WORK/one.key")
local=("listen = 127.0.0.1:0")
serve() { timeout 10 "$PLANTCA" serve "$@"; }

configure "${local[@]}" "certificate = $WORK/one.crt"
expect 2 "a certificate without its key" serve
said 'certificate without key' "says so"
configure "${local[@]}" "certificate = $WORK/one.crt" "key = $WORK/two.key"
expect 2 "another's key" serve
said 'is not the key of the certificate' "says so"
configure "${local[@]}" "certificate = $WORK/other.crt" "key = $WORK/other.key"
expect 2 "a certificate for another name" serve
said "does not name 'localhost'" "says so"
configure "${local[@]}" "${files[@]}"
chmod 644 one.key
expect 2 "a key that others may read" serve
said 'mode 0644' "says so"
chmod 600 one.key
expect 2 "a certificate past its end" days_later 31 timeout 10 "$PLANTCA" serve
said 'one.crt ended at' "says so"
openssl ec -in one.key -aes128 -passout pass:x -out locked.key 2>/dev/null
chmod 600 locked.key
configure "${local[@]}" "certificate = $WORK/one.crt" "key = $WORK/locked.key"
expect 2 "a key behind a passphrase" serve
one_line "asks for none"
configure "${local[@]}" "certificate = $WORK/one.crt" "key = $WORK/no.key"
expect 2 "no key" serve
configure "${local[@]}" "certificate = $WORK/one.key" "key = $WORK/one.key"
expect 2 "a certificate that is none" serve
configure "${local[@]}" "${files[@]}" "metrics = 0.0.0.0:0"
expect 2 "metrics for everybody" serve
said 'not on loopback' "says so"
configure "${local[@]}" "${files[@]}" "connections = 0"
expect 2 "room for nobody" serve
configure "listen = 192.0.2.1:8443" "${files[@]}"
expect 2 "an address of somebody else" serve
configure "listen = localhost" "${files[@]}"
expect 2 "no port" serve
configure "${local[@]}" "${files[@]}"
expect 2 "a PIN for whom it does not concern" serve --pin-file "$WORK/one.key"
expect 2 "an operand" serve now
if [ "$(id -u)" -eq 0 ]; then
    for user in nosuch root; do
        sed -i "s/^network-user.*/network-user = $user/" "$PLANTCA_CONFIG"
        expect 2 "as $user" serve
    done
fi

configure "${local[@]}" "${files[@]}" "metrics = 127.0.0.1:0"
station_start
check "without a signer: the log says who could be one" wait_for 10 grep -q 'no signer: .*plantca-signer.service.*serve --single' station.err
same "$(wc -l <station.out)" 2 "says on two lines where it listens"
check "serves" station_answers one.crt
worker=$(station_worker)
same "$(ps -o user= -p "$worker")" "$(if [ "$(id -u)" -eq 0 ]; then echo nobody; else id -un; fi)" "the worker is the network's user"
same "$(awk '/^(Groups|CapPrm|CapEff|NoNewPrivs|Seccomp):/ { printf "%s %s ", $1, $2 }' "/proc/$worker/status" | tr '\n' ' ')" \
    "Groups:  CapPrm: 0000000000000000 CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 " "without groups and powers, in its sandbox"
check "the metrics are there" curl -sf "http://$STATION_METRICS/metrics"
expect 2 "a second station on the port" serve --listen "127.0.0.1:$STATION_PORT"

kill -9 "$worker"
check "the worker is killed: another serves" wait_for 10 station_answers one.crt
same "$(grep -c 'warning: the worker was ended by signal 9' station.err)" 1 "one warning tells so"
worker=$(station_worker)
cp two.crt one.crt
kill -HUP "$STATION_PID"
check "a certificate that does not fit its key: SIGHUP" wait_for 10 grep -q 'warning: not reloaded.* is not the key' station.err
same "$(station_worker)" "$worker" "... the old worker goes on"
cp two.key one.key
exec 5<>"/dev/tcp/127.0.0.1/$STATION_PORT" # a connection that the old worker has
kill -HUP "$STATION_PID"
check "the key, too: SIGHUP" wait_for 10 grep -q 'reloaded' station.err
check "... the new certificate is served" wait_for 10 station_answers two.crt
exec 5>&-
check "... and the old worker ends" wait_for 30 test ! -e "/proc/$worker"
sed -i 's/^listen.*/listen = 127.0.0.1:1/' "$PLANTCA_CONFIG"
kill -HUP "$STATION_PID"
check "another port: SIGHUP" wait_for 10 grep -q 'warning: .station. listen has changed' station.err
check "... is a matter of a restart" wait_for 10 station_answers two.crt
kill "$STATION_PID"
wait "$STATION_PID"
same "$?" 0 "SIGTERM: exit status 0"
expect 7 "and nobody listens" curl -sk "https://127.0.0.1:$STATION_PORT/"

configure "listen = [::1]:0" "${files[@]}"
if [ -e /proc/net/if_inet6 ] && grep -q '^0\{31\}1 ' /proc/net/if_inet6; then
    station_start --json
    same "$(/usr/bin/python3 -c 'import json, sys; d = json.loads(sys.stdin.readline()); print(d["schema"], d["listening"], d["metrics"])' <station.out)" \
        "1 ['[::1]:$STATION_PORT'] None" "IPv6, as JSON"
    check "serves" curl -sk "https://[::1]:$STATION_PORT/"
    kill -INT "$STATION_PID"
    wait "$STATION_PID"
    same "$?" 0 "SIGINT: exit status 0"
else
    skip "IPv6" "this machine has none"
fi

# As a service manager starts it: sockets, a place to notify, a journal.
configure "${files[@]}" "listen = 192.0.2.1:8443"
cat >manager.py <<'PY'
import os, socket, sys
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind("notify")
notify.settimeout(20)
sockets = [socket.create_server(("127.0.0.1", 0)), socket.create_server((sys.argv[1], 0))]
print(*[s.getsockname()[1] for s in sockets], file=open("ports.part", "w"))
os.rename("ports.part", "ports")
pid = os.fork()
if pid == 0:
    for i, s in enumerate(sockets):
        os.dup2(s.fileno(), 30 + i)
    for i in range(2):
        os.dup2(30 + i, 3 + i)
        os.set_inheritable(3 + i, True)
    error = os.open("manager.err", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    os.dup2(error, 2)
    status = os.fstat(2)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="est:metrics", NOTIFY_SOCKET=os.path.abspath("notify"),
                      JOURNAL_STREAM="%d:%d" % (status.st_dev, status.st_ino))
    os.execv(sys.argv[2], sys.argv[2:])
print(pid, flush=True)
with open("notified", "w") as told:
    for _ in range(int(os.environ["NOTICES"])):
        told.write(notify.recv(1024).decode().split("\n")[0] + "\n")
        told.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
NOTICES=4 /usr/bin/python3 manager.py 127.0.0.1 "$PLANTCA" serve >manager.out &
manager=$!
PIDS+=("$manager")
check "sockets of a service manager" wait_for 10 grep -q READY=1 notified
read -r STATION_PORT metrics <ports
check "... are served" station_answers two.crt
check "... with the metrics" curl -sf "http://127.0.0.1:$metrics/metrics"
master=$(head -n 1 manager.out)
kill -HUP "$master"
check "a reload" wait_for 10 grep -q '^<5>plantca serve: reloaded' manager.err
kill "$master"
wait "$manager"
same "$?" 0 "... and the end"
same "$(tr '\n' ' ' <notified)" "READY=1 RELOADING=1 READY=1 STOPPING=1 " "are told to the service manager"
rm -f notify
check "sockets again, the metrics' on every address" sh -c 'NOTICES=0 timeout 10 /usr/bin/python3 manager.py 0.0.0.0 "$@"; test $? -eq 2' - "$PLANTCA" serve
same "$(grep -c '^<3>plantca serve: metrics: .* is not on loopback' manager.err)" 1 "is refused, with its priority for the journal"

if command -v systemd-analyze >/dev/null; then
    mkdir units
    for unit in "$PC_BUILD"/packaging/plantca-{serve,signer}.service "$PC_SOURCE"/packaging/systemd/plantca-*.socket; do
        sed "s|^ExecStart=[^ ]*|ExecStart=$PLANTCA|" "$unit" >"units/${unit##*/}"
    done
    same "$(cd units && echo *)" "plantca-metrics.socket plantca-serve.service plantca-serve.socket plantca-signer.service" "the station's units"
    check "... are sound" systemd-analyze verify --man=no units/*
    same "$(cat err)" "" "... and systemd has nothing to say of them"
    for service in serve signer; do
        check "plantca-$service.service: an exposure of 2.0 at most" systemd-analyze security --offline=true --threshold=20 --no-pager "$WORK/units/plantca-$service.service"
    done
    check "users are sound" systemd-sysusers --dry-run "$PC_SOURCE/packaging/sysusers/plantca.conf"
    mkdir -p root/etc
    systemd-sysusers --root="$WORK/root" "$PC_SOURCE/packaging/sysusers/plantca.conf" 2>/dev/null
    check "the folders are made" systemd-tmpfiles --create --root="$WORK/root" "$PC_SOURCE/packaging/tmpfiles/plantca.conf"
    same "$(stat -c %a root/run/plantca root/etc/plantca | tr '\n' ' ')" "2750 755 " "... closed and open as they should be"
else
    skip "the station's units" "systemd-analyze is missing"
fi
finish
