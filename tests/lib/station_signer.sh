# shellcheck shell=bash
# A signer of the test's own, and questions for it as the network service asks them. Sourced after tests/cli/setup.sh; in $WORK.

# signer_start [NAME=VALUE…]: a signer with the configuration that $PLANTCA_CONFIG names, as $SIGNER; what it says is in $WORK/signer.log.
# shellcheck disable=SC2120 # most start a signer as it is
signer_start() {
    : >"$WORK/signer.log"
    env "$@" "$PLANTCA" signer 2>"$WORK/signer.log" &
    SIGNER=$!
    PIDS+=("$SIGNER")
    wait_for 20 grep -q ' ready$' "$WORK/signer.log"
}

# signer_ended STATUS DESCRIPTION: it ends, or has, with this exit status.
signer_ended() {
    local status
    wait_for 20 signer_is_gone
    wait "$SIGNER" 2>/dev/null
    status=$?
    same "$status" "$1" "$2"
}
signer_is_gone() { ! kill -0 "$SIGNER" 2>/dev/null; }

# signer_said PATTERN DESCRIPTION
signer_said() {
    if grep -qE -- "$1" "$WORK/signer.log"; then pass "$2"; else fail "$2" "no /$1/ in:" "$(tail -n 20 "$WORK/signer.log")"; fi
}

# ask QUESTION…: tests/lib/wire.py's; the answers are in $WORK/out, a line each.
ask() { /usr/bin/python3 "$PC_SOURCE/tests/lib/wire.py" "$WORK/signer.sock" "$@" >"$WORK/out" 2>"$WORK/err"; }

# answered DESCRIPTION OUTCOME RULE QUESTION: one question, and what must come of it.
answered() {
    ask "$4"
    same "$(cut -d ' ' -f 1,2 "$WORK/out")" "$2 $3" "$1"
}

# der FILE: PEM, certificate or request, into FILE.der
der() { openssl base64 -d -in <(grep -v -e ----- "$1" | awk '{print} ') -out "$1.der"; }

# plant N: a key, a request and a certificate by `sign`: N.key, N.csr(.der), N.crt(.der); its UUID is $(uuid N).
uuid() { printf 'a1b2c3d4-0000-4000-8000-%012d' "$1"; }
plant() {
    new_csr "$(uuid "$1")" "$1.key" "$1.csr"
    der "$1.csr"
    "$PLANTCA" sign --plant "$(uuid "$1")" "$1.csr" 2>/dev/null | openssl x509 -out "$1.crt" && der "$1.crt"
}

# settings_of_station: what the tests' signer needs of [station].
settings_of_station() {
    cat >>"$PLANTCA_CONFIG" <<CONF
[station]
socket = $WORK/signer.sock
network-user = nobody
CONF
}
