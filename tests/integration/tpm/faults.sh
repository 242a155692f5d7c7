#!/bin/bash
# A TPM that is missing, busy, silent, full, locked, lying, or left dirty by a killed run: told apart, bounded in time, tidied.
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
. "$PC_SOURCE/tests/lib/swtpm.sh"
. "$PC_SOURCE/tests/integration/tpm/driver.sh"
need_swtpm tpm2_createprimary tpm2_flushcontext
cd "$WORK" || exit 1

# at TCTI OPERATION…
at() { DRIVER_TCTI="$1" "$DRIVER" "${@:2}"; }

# --- which TPM may be opened ---
refused 2 usage "no TCTI" at "" describe
refused 2 usage "an unknown TCTI" at "nonsense:x" describe
refused 2 usage "a TCTI that has another's name in it" at "swtpmx:port=1" describe
refused 2 usage "a library by its file name" at "libtss2-tcti-swtpm.so.0:port=1" describe
for name in device device: swtpm swtpm: mssim mssim: cmd: /x.so /x.so:; do
    refused 2 usage "'$name' would leave the place to be guessed" at "$name" describe
done
refused 4 tpm-missing "a device that is not there" at "device:/dev/tpm-not-there" describe
refused 4 tpm-missing "a device that is none" at "device:/dev/null" describe
refused 4 tpm-missing "a module that is not there" at "/not/there.so:x" describe
refused 4 tpm-missing "a port where nobody listens" at "swtpm:host=127.0.0.1,port=$(free_port 2)" describe
swtpm_start tpm
export DRIVER_SIMULATOR=no
refused 2 tpm-simulator "swtpm is refused unless allowed" at "$SWTPM_TCTI" describe
refused 2 tpm-simulator "mssim is refused unless allowed" at "mssim:host=127.0.0.1,port=$SWTPM_PORT" describe
refused 2 tpm-simulator "cmd: is refused unless allowed" at "cmd:false" describe
refused 2 tpm-simulator "a module by path is refused unless allowed" drive describe
unset DRIVER_SIMULATOR

# --- failures that the TPM reports ---
expect 0 "a blob key" drive create ec blob.pem
expect 0 "a handle key" drive persist blob.pem 81010010 handle.pem
refused 3 tpm-lockout "lockout" drive fail=15d@0=921 -- sign handle.pem ecdsa SHA256 signature
said 'within 1000 s' "… with how long to wait"
refused 4 tpm-memory "no object memory" drive fail=157@0=902 -- test blob.pem
refused 4 tpm-memory "no session memory" drive fail=176@0=903 -- create ec none.pem
refused 4 tpm-full "no room for a persistent object" drive fail=120@0=14b -- persist blob.pem 81010011 none.pem
said '0x81000001 \(ec:P-256 storage key as plantcert makes it\), 0x81010010 \(ec:P-256 signing key as plantcert makes it\)$' \
    "… with what takes it"
refused 4 tpm-failure "failure mode" drive fail=173@0=101 -- probe handle.pem
refused 4 tpm-not-started "a TPM that was not started" drive fail=0@0=100 -- probe handle.pem
refused 4 tpm-hierarchy "an owner hierarchy that is off" drive fail=131@0=185,fail=173@0=18b -- create ec none.pem
refused 5 tpm-unsupported "a hash that the TPM lacks" drive fail=15d@0=2c3 -- sign handle.pem ecdsa SHA512 signature
refused 1 failure "an answer that means nothing to us" drive fail=15d@0=1a7 -- sign handle.pem ecdsa SHA256 signature
check "… nothing stays loaded" swtpm_is_clean

# --- answers that are not true ---
refused 1 tpm-signature "a signature that does not verify" drive corrupt=15d@1=5 -- sign handle.pem ecdsa SHA256 signature
expect 1 "a changed answer to Create is noticed by the session" drive corrupt=153@1=0 -- create ec none.pem
check "no failure left a file" test ! -e signature -a ! -e none.pem
check "… nor anything loaded" swtpm_is_clean

# --- not now ---
for rc in 922 908 90a 920; do
    expect 0 "a command that is put off with 0x$rc is sent again" drive fail=15d@1=$rc -- sign handle.pem ecdsa SHA256 signature
    same "$(sent)" "173 15d 15d" "… once"
done
export DRIVER_TIMEOUT=1000
# in_time MILLISECONDS CODE NAME DESCRIPTION COMMAND…
in_time() {
    local limit=$1 start took
    shift
    start=$(date +%s%3N)
    refused "$@"
    took=$(($(date +%s%3N) - start))
    if [ "$took" -lt "$limit" ]; then pass "… in time"; else fail "… in time" "$took ms, not $limit"; fi
}
in_time 6000 4 tpm-busy "put off without end" drive fail=15d@0=922 -- sign blob.pem ecdsa SHA256 signature
check "… nothing stays loaded" swtpm_is_clean
in_time 6000 4 tpm-timeout "an answer that never comes" drive drop=15d@1 -- sign blob.pem ecdsa SHA256 signature
in_time 6000 4 tpm-timeout "… nor to ReadPublic" \
    drive drop=173@1 -- probe handle.pem
DRIVER_TIMEOUT=20000 expect 0 "a late answer is waited for" drive delay=15d@1=300 -- sign handle.pem ecdsa SHA256 signature
kill -STOP "$SWTPM_PID"
in_time 6000 4 tpm-timeout "a TPM that is stopped" drive probe handle.pem
kill -CONT "$SWTPM_PID"
check "… is used again when it goes on" wait_for 10 drive probe handle.pem
exec 9<>"/dev/tcp/127.0.0.1/$SWTPM_PORT"
in_time 6000 4 tpm-timeout "a TPM that an idle client holds" drive probe handle.pem
exec 9>&-
check "… is used again when that has gone" wait_for 10 drive probe handle.pem
DRIVER_TCTI="$SWTPM_TCTI" "$DRIVER" hold 60 >held &
HOLDER=$!
PIDS+=("$HOLDER")
wait_for 10 grep -q held held
in_time 6000 4 tpm-busy "a TPM that is open in another process of ours" at "$SWTPM_TCTI" probe handle.pem
unset DRIVER_TIMEOUT
(
    sleep 0.5
    kill "$HOLDER"
) &
expect 0 "… is waited for until it is free" at "$SWTPM_TCTI" probe handle.pem
wait "$HOLDER" 2>/dev/null
expect 0 "what was left loaded by then is found" drive test blob.pem
check "nothing stays loaded" swtpm_is_clean

# --- what a killed run leaves ---
dirty() { ! swtpm_is_clean; }
for code in 173 176 153; do
    killed "killed in create, behind command $code" drive kill=$code@1 -- create ec none.pem
    expect 0 "… the next create works" drive create ec next.pem
    check "… and leaves nothing" swtpm_is_clean
done
killed "killed with a session" drive kill=176@1 -- create ec none.pem
check "… which stays" dirty
expect 0 "… a probe of a handle does not look" drive probe handle.pem
check "… so it stays" dirty
expect 0 "… the next create finds and flushes it" drive create ec next.pem
said 'notice: .* flushed' "… and says so"
check "… nothing stays loaded" swtpm_is_clean
for n in 1 2; do
    killed "killed with a loaded key, while signing ($n)" drive kill=157@1 -- sign blob.pem ecdsa SHA256 signature
done
same "$(swtpm_handles transient | wc -l)" 2 "… the TPM is too full for a third"
expect 0 "… signing makes room for itself" drive sign blob.pem ecdsa SHA256 signature
said 'notice: .* flushed' "… and says so"
check "… nothing stays loaded" swtpm_is_clean
killed "killed with a loaded key" drive kill=157@1 -- sign blob.pem ecdsa SHA256 signature
expect 0 "… signing with a handle costs the same two commands" drive sign handle.pem ecdsa SHA256 signature
same "$(sent)" "173 15d" "… no more"
DRIVER_THOROUGH=yes expect 0 "… a program that follows a killed run flushes it" drive sign blob.pem ecdsa SHA256 signature
check "… nothing stays loaded" swtpm_is_clean
killed "killed with a loaded key" drive kill=157@1 -- sign blob.pem ecdsa SHA256 signature
expect 0 "… describing flushes it" drive describe
said '^loaded 0 0$' "… before it counts"
killed "killed when the key persists already" drive kill=120@1 -- persist blob.pem 81010012 second.pem
expect 0 "… persist goes on" drive persist blob.pem 81010012 second.pem
check "… nothing stays loaded" swtpm_is_clean
swtpm_stop
swtpm_start second
for code in 131 120; do
    killed "killed in the making of the SRK, behind command $code" drive kill=$code@1 -- create ec none.pem
    expect 0 "… the next create works" drive create ec next.pem
    check "… and leaves nothing" swtpm_is_clean
    [ $code = 120 ] || tpm2_evictcontrol -T "$SWTPM_TCTI" -C o -c 0x81000001 >/dev/null
done

# --- what others have loaded ---
for n in 1 2 3; do
    tpm2_createprimary -T "$SWTPM_TCTI" -C o -c "other$n.ctx" >/dev/null
done
refused 4 tpm-memory "a TPM full of others' objects" drive test next.pem
same "$(swtpm_handles transient | wc -l)" 3 "… which are left alone"
tpm2_flushcontext -T "$SWTPM_TCTI" -t
expect 0 "… with room it works" drive test next.pem

same "$(swtpm_lockout)" 0 "no dictionary-attack failure was counted in all this"
finish
