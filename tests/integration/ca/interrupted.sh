#!/bin/bash
# SIGKILL at every system call by which init, sign, revoke and publish change a file: the next run finishes, with one CA key, one
# serial a certificate, no lost revocation, no half file.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# Usage: interrupted.sh DRIVER STEP
DRIVER=$1
STEP=$2
need strace softhsm2-util sqlite3
strace -o /dev/null true 2>/dev/null || {
    echo "1..0 # SKIP strace may not trace here"
    exit 0
}
export ASAN_OPTIONS=detect_leaks=0
# What changes files. Reading and locking leave nothing behind.
CALLS=write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,ftruncate,fchmod,chmod
printf 1234-user >"$WORK/pin"
chmod 600 "$WORK/pin"

# token LABEL: an empty one, alone in its folder, so that objects are its files.
token() {
    mkdir "$WORK/$1"
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$WORK/$1" >"$WORK/$1.conf"
    export SOFTHSM2_CONF="$WORK/$1.conf"
    softhsm2-util --init-token --free --label "$1" --pin 1234-user --so-pin 1234-so-pin >/dev/null
}
run() { "$DRIVER" "$STATE" "$LABEL" "$WORK/pin" "$@"; }
ask() { sqlite3 "$STATE/ledger.db" "$1"; }
# A pair is two object files.
objects() { find "$WORK/$LABEL" -name '*.object' ! -name token.object | wc -l; }

# What holds after every interruption and its completion. Prints what does not.
sound() {
    [ "$(run status)" = "sound 0 unfinished" ] || echo "status: $(run status 2>&1)"
    [ "$(ask 'PRAGMA integrity_check')" = ok ] || echo "integrity"
    [ "$(objects)" = 2 ] || echo "$(objects) key objects"
    [ "$(ask "SELECT count(*) FROM issuer")" = 1 ] || echo "issuers"
    [ "$(ask "SELECT count(*) - count(DISTINCT serial) FROM certificate")" = 0 ] || echo "serials"
    [ "$(ask "SELECT count(*) FROM certificate c WHERE state IN ('reserved', 'signing', 'current', 'revoked') AND NOT EXISTS
        (SELECT 1 FROM audit WHERE line LIKE '%\"act\":\"reserve\"%' || lower(hex(c.serial)) || '%')")" = 0 ] || echo "a row without its audit row"
    openssl x509 -in "$STATE/ca.crt" -noout 2>&1
    openssl crl -in "$STATE/ca.crl" -CAfile "$STATE/ca.crt" -noout 2>&1 | grep -v 'verify OK'
}

# interrupt NAME SETUP COMMAND…: SETUP once a point; COMMAND is killed there, then runs again and must succeed; then CHECK and sound.
interrupt() {
    local name=$1 setup=$2 point=0 points=0 bad='' status
    shift 2
    while [ $point -lt 400 ]; do
        point=$((point + STEP))
        "$setup" "$point"
        # In a subshell, whose word about the killed process goes to the file, too.
        (
            strace -f -y -o "$WORK/trace" -e trace="$CALLS" -e inject="$CALLS:signal=KILL:when=$point" \
                "$DRIVER" "$STATE" "$LABEL" "$WORK/pin" "$@"
            exit
        ) >"$WORK/out" 2>"$WORK/err"
        status=$?
        [ $status = 137 ] || break
        points=$((points + 1))
        # SoftHSM truncates its token's own file before it writes it, at each login: what that loses is not ours.
        if tail -n 2 "$WORK/trace" | grep -q '/token\.object>.* = ?'; then
            points=$((points - 1))
            continue
        fi
        run "$@" >"$WORK/out" 2>"$WORK/err" || bad="$bad point $point: $(cat "$WORK/err");"
        faults=$(sound; "check_$name")
        [ -z "$faults" ] || bad="$bad point $point: $faults;"
    done
    if [ -n "$bad" ]; then
        fail "$name: finished after every interruption" "$bad"
    elif [ $status != 0 ]; then
        fail "$name: ends when it is not interrupted" "exit $status: $(cat "$WORK/err")"
    elif [ $points = 0 ]; then
        fail "$name: was interrupted" "no system call met"
    else
        pass "$name: finished after every interruption ($points kill points)"
    fi
}

# Each point of init has a token of its own; the others start from a copy of one authority.
fresh() {
    LABEL=i$1
    STATE=$WORK/state-i$1
    token "$LABEL"
}
check_init() { [ "$(ask "SELECT count(*) FROM certificate WHERE profile = 'root' AND state = 'current'")" = 1 ] || echo "roots"; }

copy() {
    LABEL=ibase
    STATE=$WORK/copy
    rm -rf "$WORK/copy" "$WORK/published" "${WORK:?}/ibase"
    cp -a "$WORK/state-base" "$STATE"
    cp -a "$WORK/token-base" "$WORK/ibase"
}
current() { ask "SELECT count(*) FROM certificate WHERE subject = '$1' AND state = 'current'"; }
check_sign() {
    [ "$(current "$B")" = 1 ] || echo "current ones: $(current "$B")"
    [ "$(ask "SELECT lower(hex(serial)) FROM certificate WHERE subject = '$B' AND state = 'current'")" = "$(cat "$WORK/out")" ] || echo "another serial was given"
}
check_replace() {
    [ "$(current "$A")" = 1 ] || echo "current ones: $(current "$A")"
    [ "$(ask "SELECT count(*) FROM certificate WHERE subject = '$A' AND state = 'superseded'")" = 1 ] || echo "predecessor"
}
check_revoke() { openssl crl -in "$STATE/ca.crl" -noout -text | grep -qi "Serial Number: 0*$SERIAL" || echo "not on the CRL"; }
check_publish() {
    cmp "$WORK/published/ca/ca.crl" "$STATE/ca.crl" && cmp "$WORK/published/ca/ca.crt" "$STATE/ca.crt"
    openssl verify -CAfile "$STATE/ca.crt" "$WORK/published/devices/$A/device.crt" | grep -v ': OK'
}

A=a1b2c3d4-0000-0000-0000-000000000001
B=a1b2c3d4-0000-0000-0000-000000000002
# Every STEPth point. All of them (1) take some minutes.
interrupt init fresh init

fresh base
STATE=$WORK/state-base
check "an authority" run init
for name in a a2 b; do run request "$([ $name = b ] && echo $B || echo $A)" "$WORK/$name.csr"; done
SERIAL=$(run sign $A "$WORK/a.csr" -)
cp -a "$WORK/ibase" "$WORK/token-base"
interrupt sign copy sign $B "$WORK/b.csr" -
interrupt replace copy sign $A "$WORK/a2.csr" "$SERIAL"
interrupt revoke copy revoke $A
interrupt publish copy publish "$WORK/published"
finish
