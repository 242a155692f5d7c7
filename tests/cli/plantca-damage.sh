#!/bin/bash
# The state folder and the token as they should not be: full, read-only, locked, gone, cut off, somebody else's. Each time the command says
# so, signs nothing, gives out nothing, leaves the record as it was, and works when all is well again.
# Usage: plantca-damage.sh SHIM
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
need sqlite3 openssl
SHIM=$(realpath "$1")
ca_prepare
cd "$WORK" || exit 1
export SHIM_MODULE=$SOFTHSM_MODULE SHIM_SIGNED=$WORK/signed
sed -i "s|^module .*|module = $SHIM|" plantca.conf
DISK=''
unmount() { [ -z "$DISK" ] || umount "$WORK/state"; }
trap 'unmount; cleanup' EXIT
# A small disk of its own for the state, where that may be had.
mkdir state && mount -t tmpfs -o size=2m,mode=0700 plantca-test state 2>/dev/null && DISK=yes
check "an authority" "$PLANTCA" init
new_csr "$UUID1" one.key one.csr
check "a plant" "$PLANTCA" sign --plant "$UUID1" one.csr -o one.crt
check "published" "$PLANTCA" publish
uuid() { printf 'a1b2c3d4-0000-4000-8000-%012d' "$1"; }
NEXT=10

sign() { "$PLANTCA" sign "$@"; }
crl_number() { openssl crl -in state/ca.crl -noout -crlnumber 2>&1; }
signatures() { grep -c '^plantca-root ' signed; }

# refuses CODES WHAT COMMAND…: the exit code is one of CODES; standard output is empty, new.crt is not there, nothing was signed.
refuses() {
    local codes=$1 what=$2 before status bad=''
    shift 2
    before=$(signatures)
    rm -f new.crt
    "$@" >out 2>err </dev/null
    status=$?
    case " $codes " in *" $status "*) ;; *) bad="exit $status, not one of $codes" ;; esac
    [ ! -s out ] || bad="$bad; standard output: $(head -c 100 out)"
    [ ! -e new.crt ] || bad="$bad; a certificate was given out"
    [ "$(wc -l <err)" = 1 ] || bad="$bad; not one line on standard error"
    [ "$(signatures)" = "$before" ] || bad="$bad; something was signed"
    if [ -z "$bad" ]; then pass "$what"; else fail "$what" "$bad" "$(cat err)"; fi
}
# works WHAT: a new plant gets its certificate, and nothing is damaged.
works() {
    NEXT=$((NEXT + 1))
    new_csr "$(uuid $NEXT)" $NEXT.key $NEXT.csr
    check "$1: works again" sign --plant "$(uuid $NEXT)" $NEXT.csr -o new.crt
    same "$(sqlite3 state/ledger.db 'PRAGMA integrity_check')" ok "$1: the record is whole"
    check "$1: the audit log is sound" "$PLANTCA" audit verify
}
new_csr "$UUID2" two.key two.csr
attempt=("$PLANTCA" sign --plant "$UUID2" two.csr -o new.crt)

# --- the disk ---
if [ -n "$DISK" ]; then
    # Full to the last block. SQLite can go on for a while with blocks that it has.
    head -c 2m /dev/zero >state/fill 2>/dev/null
    refuses "1 4" "a full disk: sign" "${attempt[@]}"
    refuses "1 4" "a full disk: crl" "$PLANTCA" crl
    refuses "1 4" "a full disk: revoke" "$PLANTCA" revoke --plant "$UUID1"
    refuses "1 4" "a full disk: broker" "$PLANTCA" broker --new-key broker.key -o new.crt
    same "$(ls broker.key 2>/dev/null)" "" "and no key is left"
    rm state/fill
    works "a full disk"
    mount -o remount,ro state
    refuses "1 4" "a read-only disk: sign" "${attempt[@]}"
    refuses "1 4" "a read-only disk: crl" "$PLANTCA" crl
    refuses "1 4" "a read-only disk: revoke" "$PLANTCA" revoke --plant "$UUID1"
    refuses "1 4 5" "a read-only disk: init" "$PLANTCA" init
    mount -o remount,rw state
    works "a read-only disk"
else
    skip "a full disk, a read-only disk" "nothing can be mounted here"
fi

# --- locked by another process, which dies ---
locker() {
    /usr/bin/python3 -c 'import sqlite3, sys
db = sqlite3.connect("state/ledger.db", isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()'
}
mkfifo hold
locker <hold >locked 2>&1 &
PIDS+=($!)
exec 9>hold
wait_for 10 grep -q locked locked
refuses "4" "the database is locked: sign" "${attempt[@]}"
said 'locked|busy' "and says so"
exec 9>&-
wait "${PIDS[-1]}"
works "the database was locked"

# --- the ledger as it should not be; kept is all of the state folder ---
tar -cf state.tar -C state .
bring_back() {
    find state -mindepth 1 -delete
    tar -xf state.tar -C state
}
# ledger NAME CODES COMMAND…: COMMAND damages; then nothing is signed, and init and ensure make no second CA.
ledger() {
    local what=$1 codes=$2
    shift 2
    check "$what" "$@"
    refuses "$codes" "$what: sign" "${attempt[@]}"
    refuses "$codes" "$what: crl" "$PLANTCA" crl
    refuses "$codes" "$what: init" "$PLANTCA" init
    # The certificate and the CRL of before are somebody's witnesses: not to be written over.
    same "$(openssl x509 -in state/ca.crt -noout -fingerprint) $(crl_number)" "$WITNESS" "$what: certificate and CRL stand"
    bring_back
}
WITNESS="$(openssl x509 -in state/ca.crt -noout -fingerprint) $(crl_number)"
gone() { rm -f state/ledger.db*; }
emptied() { gone && : >state/ledger.db; }
cut_off() { rm -f state/ledger.db-* && truncate -s $(($(stat -c %s state/ledger.db) / 2)) state/ledger.db; }
noise() { gone && head -c 40960 /dev/urandom >state/ledger.db; }
of_others() { gone && sqlite3 state/ledger.db 'CREATE TABLE letters (id INTEGER); INSERT INTO letters VALUES (1)'; }
newer() { sqlite3 state/ledger.db 'PRAGMA user_version = 99'; }
a_page() { rm -f state/ledger.db-* && dd if=/dev/urandom of=state/ledger.db bs=4096 seek=4 count=3 conv=notrunc status=none; }
ledger "the ledger is gone" "4 5" gone
ledger "the ledger is empty" "4 5" emptied
ledger "the ledger is cut off" "1 4 5" cut_off
ledger "the ledger is noise" "4 5" noise
ledger "the ledger is another program's" 5 of_others
ledger "the ledger is of a newer schema" 5 newer
check "a page of the ledger is overwritten" a_page
refuses "1 4 5" "a page of the ledger is overwritten: sign" "${attempt[@]}"
bring_back
works "the ledger is back"
tar -cf state.tar -C state .
WITNESS="$(openssl x509 -in state/ca.crt -noout -fingerprint) $(crl_number)"

# --- another CA: its token, its ledger, its key ---
softhsm_token other-ca 135790
printf '135790\n' >other-pin && chmod 600 other-pin
sed "s|^label .*|label = other-ca|; s|^pin-file .*|pin-file = $WORK/other-pin|; s|^state .*|state = $WORK/other|" plantca.conf >other.conf
check "another CA" "$PLANTCA" -c other.conf init
sed "s|^state .*|state = $WORK/state|" other.conf >mixed.conf
refuses "5" "another CA's token: sign" "$PLANTCA" -c mixed.conf "${attempt[@]:1}"
refuses "5" "another CA's token: crl" "$PLANTCA" -c mixed.conf crl
refuses "5" "another CA's token: init" "$PLANTCA" -c mixed.conf init
refuses "5" "another CA's token: ensure" "$PLANTCA" -c mixed.conf ensure
sed "s|^state .*|state = $WORK/fresh|" other.conf >fresh.conf
refuses "5" "a token with another CA's key and no record of it: init" "$PLANTCA" -c fresh.conf init
refuses "5" "a token with another CA's key and no record of it: ensure" "$PLANTCA" -c fresh.conf ensure
same "$(ls fresh/ca.crt 2>/dev/null)" "" "and no CA is there"
their_ledger() { gone && cp other/ledger.db state/; }
ledger "the ledger is another CA's" 5 their_ledger
their_token() { "$PLANTCA" -c mixed.conf "$@"; }
check "another CA's ledger and token under our certificate" their_ledger
refuses "5" "another CA's ledger and token under our certificate: sign" their_token "${attempt[@]:1}"
bring_back
works "all is back"

# --- the clock ---
tar -cf state.tar -C state .
refuses "5" "a clock three days behind: sign" days_later -3 "${attempt[@]}"
refuses "5" "a clock three days behind: crl" days_later -3 "$PLANTCA" crl
works "the clock is right"
finish
