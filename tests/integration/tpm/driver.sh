# shellcheck shell=bash
# What the tests of provision/tpm share: the driver that calls its functions, and the recording TCTI between it and swtpm.
DRIVER="$PC_BUILD/tests/integration/tpm/tpm_driver"
RECORDER="$PC_BUILD/tests/integration/tpm/tcti_recorder.so"
export TSS2_LOG=all+NONE

# drive [RULES --] OPERATION OPERANDS…: RULES are the recorder's ("fail=15d@1=921"), joined by commas.
drive() {
    local rules=""
    if [ "${2:-}" = -- ]; then
        rules=",$1"
        shift 2
    fi
    rm -f "$WORK/log"
    DRIVER_TCTI="$RECORDER:log=$WORK/log$rules|$SWTPM_TCTI" "$DRIVER" "$@"
}

# sent: the commands that the last drive sent, as "173 15d".
sent() { cut -c6-8 "$WORK/log" | tr '\n' ' ' | sed 's/ $//'; }

# refused CODE NAME DESCRIPTION COMMAND…: this exit code, under this name.
refused() {
    local code=$1 name=$2
    shift 2
    expect "$code" "$@" || return
    said "^$name: " "… as $name"
}

# killed DESCRIPTION COMMAND…: ends by SIGKILL.
killed() {
    local what=$1 got
    shift
    { ("$@") >"$WORK/out" 2>&1; got=$?; } 2>/dev/null
    same "$got" 137 "$what"
}
