#!/bin/bash
# Each fsync fails once, each write fails once or from there on: the command says so (exit 1 or 4), has given out nothing that is not on
# record, and does all of it when it is typed again. What must hold then is in outcome.py.
# Usage: faults.sh SHIM INTERCEPT STEP SHARD SHARDS [NAME…]
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/integration/ca/points.sh
. "$PC_SOURCE/tests/integration/ca/points.sh"

# point NAME CALLS ERROR FIRST CALL: prints what is wrong; sets `met`.
point() {
    local status
    start "$1"
    typed "$1" "$INTERCEPT" "$3" "$4" "$2" log "$PLANTCA" >out 2>err </dev/null
    status=$?
    if destroyed; then
        met=lost
        return
    fi
    # Threads do not always call in the same order: this time it met what the shim writes for the test.
    if [ $status = 86 ]; then # SHIM_UNNOTED
        met=own
        return
    fi
    # Exit 0 is right where the record was safe already: SQLite moves its log into the database when it is closed, or later.
    # A token that does not notice what it could not write gives a key that is refused.
    case $status:$5 in 0:*) met=passed ;; 1:* | 4:* | 5:*/run/token/*) ;; *) echo "exit $status: $(cat err)" ;; esac
    # Unless the last that failed was to say what had been done.
    [ $status = 0 ] || [ ! -s out ] || tail -n 2 log | grep -qx "write $WORK/out" ||
        echo "exit $status, but standard output says: $(head -c 200 out)"
    # From there on nothing could be written, not even why.
    case $status:$4 in 0:* | *+) ;; *) [ -s err ] || echo "exit $status without a word" ;; esac
    /usr/bin/python3 "$OUTCOME" run 2>&1
    outcome "$1"
}

# faults NAME CALLS ERROR PLUS WHAT: every point of these calls; PLUS is "+" where all later ones fail as well.
faults() {
    local name=$1 n call tried=0 passed=0 lost=0 bad='' met told
    reference "$name" "$2" || {
        fail "$name: works when nothing happens" "$(cat err)"
        return
    }
    cp log points
    n=0
    while read -r call; do
        n=$((n + 1))
        mine "$n" || continue
        # Of the test's own.
        case $call in */run/signed) continue ;; esac
        met=yes
        point "$name" "$2" "$3" "$n$4" "$call" >found
        case $met in own) continue ;; lost) lost=$((lost + 1)) ;; passed) passed=$((passed + 1)) ;; esac
        tried=$((tried + 1))
        [ ! -s found ] || bad="$bad$n ($call): $(head -c 400 found)"$'\n'
    done <points
    TRIED=$((TRIED + tried))
    told="$tried points, $passed of them without harm"
    [ $lost = 0 ] || told="$told, $lost more destroyed the token itself"
    if [ -n "$bad" ]; then
        fail "$name: $5 ($told)" "$bad"
    elif [ $tried = 0 ]; then
        skip "$name: $5" "no point falls to this run"
    else
        pass "$name: $5 ($told)"
    fi
    rm -rf "reference.$name"
}

TRIED=0
for name in "${@:-${NAMES[@]}}"; do
    faults "$name" fsync,fdatasync,syncfs EIO '' "an fsync fails"
    faults "$name" write,pwrite64,ftruncate EIO '' "a write fails"
    faults "$name" write,pwrite64,openat ENOSPC + "the disk is full from a write on"
done
echo "# $TRIED faults"
finish
