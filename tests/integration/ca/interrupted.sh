#!/bin/bash
# SIGKILL at every system call by which a command of plantca changes a file, a socket or the ledger, and before every call of the token and
# after those that change something in it; then reconcile, and the command once more. What must hold then is in outcome.py: one CA and one
# pair a purpose, no serial twice, no signature without its row, no revocation lost, no half file, and what an undisturbed run leaves.
# Reading is left out: it changes nothing, so that dying there is dying after the change before it. Locks are tried with one command only,
# for the same reason: they end with the process. Of SoftHSM's writing of its own files, every third call.
# Usage: interrupted.sh SHIM INTERCEPT STEP SHARD SHARDS [NAME…]
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/integration/ca/points.sh
. "$PC_SOURCE/tests/integration/ca/points.sh"
of locks base sign --plant $B b.csr -o run/out/b.crt

# killed HOW NAME: HOW is the number of a system call, or a rule for the shim.
killed() {
    case $1 in
    [0-9]*) typed "$2" "$INTERCEPT" kill "$1" "$calls" log "$PLANTCA" ;;
    *) SHIM_KILL=$1 typed "$2" "$PLANTCA" ;;
    esac
    exit
}

# point NAME HOW: one kill, and what follows. Sets `met`.
point() {
    local status
    start "$1"
    # In a subshell, whose word about the killed process goes to the file, too.
    (killed "$2" "$1") >out 2>err </dev/null
    status=$?
    # Threads do not always call in the same order, so that a run of several may end before its last point.
    case $status in 137) ;; 0) met=no && return ;; *) echo "exit $status: $(cat err)" && return ;; esac
    if destroyed; then
        met=lost
        return
    fi
    case $1 in
    init) "$PLANTCA" ensure >out 2>err </dev/null || echo "ensure: exit $?: $(cat err)" ;;
    *) "$PLANTCA" reconcile >out 2>err </dev/null || echo "reconcile: exit $?: $(cat err)" ;;
    esac
    outcome "$1"
}

# interrupt NAME
interrupt() {
    local name=$1 how points=() killed=0 lost=0 unmet=0 bad='' met at=0 told calls=changes
    [ "$name" != locks ] || calls=fcntl,flock
    reference "$name" "$calls" || {
        fail "$name: works when nothing happens" "$(cat err)"
        return
    }
    while read -r how; do
        at=$((at + 1))
        # SoftHSM writes an object once for each of its attributes: of its files, every third call.
        case $how in */run/token/*) [ $((at % 3)) = 0 ] || continue ;; esac
        points+=("$at")
    done <log
    at=0
    while [ "$name" != locks ] && read -r how _; do
        at=$((at + 1))
        points+=("*:$at:before")
        # After any other call is before the next one.
        case $how in C_Sign | C_GenerateKeyPair | C_DestroyObject | C_Login) points+=("*:$at:after") ;; esac
    done <calls
    at=0
    for how in "${points[@]}"; do
        at=$((at + 1))
        mine $at || continue
        met=yes
        point "$name" "$how" >faults
        case $met in yes) killed=$((killed + 1)) ;; lost) lost=$((lost + 1)) ;; no) unmet=$((unmet + 1)) ;; esac
        [ ! -s faults ] || bad="$bad$how ($(tail -n 1 log)): $(head -c 400 faults)"$'\n'
    done
    KILLS=$((KILLS + killed))
    told="$killed kill points of ${#points[@]}"
    [ $lost = 0 ] || told="$told, $lost more destroyed the token itself"
    [ $unmet = 0 ] || told="$told, $unmet more were not met"
    if [ -n "$bad" ]; then
        fail "$name: finished after every interruption ($told)" "$bad"
    elif [ $killed = 0 ]; then
        skip "$name" "none of its ${#points[@]} points falls to this run"
    else
        pass "$name: finished after every interruption ($told)"
    fi
    rm -rf "reference.$name"
}

KILLS=0
for name in "${@:-${NAMES[@]}}"; do interrupt "$name"; done
echo "# $KILLS kill points"
finish
