# shellcheck shell=bash
# What every shell test starts with: a temporary folder, TAP output, processes stopped by pid, free ports, waiting for readiness.
# Use: . "$PC_SOURCE/tests/lib/common.sh"; …checks…; finish
set -u
umask 022
export LC_ALL=C
: "${PC_SOURCE:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
: "${PC_BUILD:=$PC_SOURCE/build}"
export PC_SOURCE PC_BUILD
export PLANTCA="$PC_BUILD/src/cmd/plantca" PLANTCERT="$PC_BUILD/src/cmd/plantcert"
export PLANTCERT_MODULE="$PC_BUILD/provision/provider/plantcert.so"

# PC_WORK names a folder that is there and stays; otherwise a temporary one is made and removed (kept with PC_KEEP=1).
WORK=${PC_WORK:-$(mktemp -d "${TMPDIR:-/tmp}/plantcert-test.XXXXXX")}
chmod 755 "$WORK"
export WORK
PIDS=()
TESTS=0
FAILED=0
SKIPPED=0

# stop PID: ends a process that this test started, and waits for it.
stop() {
    kill "$1" 2>/dev/null || return 0
    for _ in $(seq 50); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    return 0
}

cleanup() {
    local status=$? pid
    for pid in ${PIDS[@]+"${PIDS[@]}"}; do stop "$pid"; done
    if [ -n "${PC_KEEP:-}" ]; then echo "# kept: $WORK" >&2; elif [ -z "${PC_WORK:-}" ]; then rm -rf "$WORK"; fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# free_port [COUNT]: the first of COUNT consecutive free TCP ports on loopback, none that the kernel gives to connections: a server that is
# stopped and started again may have to have it a second time.
free_port() {
    /usr/bin/python3 - "${1:-1}" <<'PY'
import random, socket, sys
want = int(sys.argv[1])
with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as text:
    first = int(text.read().split()[0])
while True:
    port = random.randrange(10000, first - want) if first > 20000 else random.randrange(20000, 60000)
    held = []
    try:
        for i in range(want):
            s = socket.socket()
            held.append(s)
            s.bind(("127.0.0.1", port + i))
    except OSError:
        continue
    finally:
        for s in held:
            s.close()
    print(port)
    break
PY
}

# client COMMAND…: runs somebody else's program that loads our provider. A sanitized module needs the sanitizer's runtime loaded first.
client() {
    if [ -n "${PC_PRELOAD:-}" ]; then
        LD_PRELOAD=$PC_PRELOAD ASAN_OPTIONS=detect_leaks=0 "$@"
    else
        "$@"
    fi
}

# wait_for SECONDS COMMAND…: until the command succeeds.
wait_for() {
    local end=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.05
    done
}

pass() {
    TESTS=$((TESTS + 1))
    echo "ok $TESTS - $1"
}
fail() {
    TESTS=$((TESTS + 1))
    FAILED=$((FAILED + 1))
    echo "not ok $TESTS - $1"
    shift
    printf '%s\n' "$@" | sed 's/^/#   /'
}
skip() {
    TESTS=$((TESTS + 1))
    SKIPPED=$((SKIPPED + 1))
    echo "ok $TESTS - $1 # SKIP ${2:-}"
}

# need COMMAND…: without one of them, the whole test is a skip on a user's machine and a failure in CI.
need() {
    local c
    for c in "$@"; do
        command -v "$c" >/dev/null 2>&1 || [ -e "$c" ] && continue
        if [ "${CI:-}" = true ]; then
            echo "not ok 1 - $c is missing"
            echo "1..1"
            exit 1
        fi
        echo "1..0 # SKIP $c is missing"
        exit 0
    done
}

# check DESCRIPTION COMMAND…: the command must succeed. Its output is kept in $WORK/out and $WORK/err.
check() { expect 0 "$@"; }

# expect CODE DESCRIPTION COMMAND…: the command must exit with exactly this code.
expect() {
    local want=$1 what=$2 got
    shift 2
    "$@" >"$WORK/out" 2>"$WORK/err" </dev/null
    got=$?
    if [ "$got" = "$want" ]; then
        pass "$what"
    else
        fail "$what" "exit $got, not $want: $*" "$(head -c 2000 "$WORK/err")" "$(head -c 1000 "$WORK/out")"
        return 1
    fi
}

# said PATTERN DESCRIPTION: the last command's stdout or stderr matches the extended regular expression.
said() {
    if cat "$WORK/out" "$WORK/err" | grep -qE -- "$1"; then
        pass "$2"
    else
        fail "$2" "no /$1/ in:" "$(cat "$WORK/out" "$WORK/err" | head -c 2000)"
    fi
}

# same A B DESCRIPTION
same() {
    if [ "$1" = "$2" ]; then pass "$3"; else fail "$3" "'$1' is not '$2'"; fi
}

finish() {
    echo "1..$TESTS"
    [ "$FAILED" -eq 0 ]
    exit
}
