# shellcheck shell=bash
# A raw software TPM (no resource manager) for a test: started on free loopback ports, ready when it answers, stopped by pid.
# Use after common.sh: . "$PC_SOURCE/tests/lib/swtpm.sh"; need_swtpm; swtpm_start; … "$SWTPM_TCTI" …
# State, log and ports live in $WORK/NAME.

need_swtpm() { need swtpm swtpm_setup swtpm_ioctl tpm2_getcap "$@"; }

# swtpm_answers: a GetCapability succeeds, in bounded time (an idle client elsewhere would block us for ever).
swtpm_answers() { timeout 5 tpm2_getcap -T "$SWTPM_TCTI" properties-fixed; }

swtpm_run() {
    local attempt
    for attempt in 1 2 3 4 5; do
        [ -n "$SWTPM_PORT" ] || SWTPM_PORT=$(free_port 2)
        SWTPM_TCTI="swtpm:host=127.0.0.1,port=$SWTPM_PORT"
        swtpm socket --tpm2 --tpmstate dir="$SWTPM_DIR" --flags not-need-init,startup-clear \
            --server type=tcp,port="$SWTPM_PORT" --ctrl type=tcp,port=$((SWTPM_PORT + 1)) \
            >>"$SWTPM_DIR/log" 2>&1 </dev/null &
        SWTPM_PID=$!
        PIDS+=("$SWTPM_PID")
        if wait_for 20 swtpm_ready; then
            kill -0 "$SWTPM_PID" 2>/dev/null && return 0
        fi
        stop "$SWTPM_PID"
        SWTPM_PORT=
    done
    echo "Bail out! swtpm does not start after $attempt attempts: $(tail -n 3 "$SWTPM_DIR/log")"
    exit 1
}
# Ready, or dead already (a port was taken between choosing and binding): both end the waiting.
swtpm_ready() { ! kill -0 "$SWTPM_PID" 2>/dev/null || swtpm_answers; }

# swtpm_start [NAME [SWTPM_SETUP_OPTION…]]: a fresh TPM. Sets SWTPM_TCTI, SWTPM_PORT, SWTPM_DIR, SWTPM_PID.
# EK certificates take time and are made only with --create-ek-cert given.
swtpm_start() {
    SWTPM_DIR="$WORK/${1:-tpm}"
    [ $# -gt 0 ] && shift
    mkdir -p "$SWTPM_DIR"
    if ! swtpm_setup --tpm2 --tpmstate "$SWTPM_DIR" --lock-nvram --overwrite "$@" >"$SWTPM_DIR/setup.log" 2>&1; then
        echo "Bail out! swtpm_setup failed: $(tail -n 3 "$SWTPM_DIR/setup.log")"
        exit 1
    fi
    SWTPM_PORT=
    swtpm_run
    export SWTPM_TCTI SWTPM_PORT
}

# swtpm_stop: a power cut, as far as the TPM can tell (no TPM2_Shutdown).
swtpm_stop() { stop "$SWTPM_PID"; }

# swtpm_restart: power comes back; the same state, the same ports (others, and another SWTPM_TCTI, if those were taken meanwhile).
swtpm_restart() {
    swtpm_stop
    swtpm_run
}

# swtpm_handles KIND: the handles of that kind ("transient", "loaded-session", "persistent"), one a line.
swtpm_handles() { timeout 10 tpm2_getcap -T "$SWTPM_TCTI" "handles-$1" | sed -n 's/^- //p'; }

# swtpm_is_clean: succeeds when no transient object and no session is loaded.
swtpm_is_clean() {
    local transient session
    transient=$(timeout 10 tpm2_getcap -T "$SWTPM_TCTI" handles-transient) || return 1
    session=$(timeout 10 tpm2_getcap -T "$SWTPM_TCTI" handles-loaded-session) || return 1
    [ -z "$transient$session" ] || {
        echo "left in the TPM: $transient $session" >&2
        return 1
    }
}

# swtpm_lockout: the dictionary-attack counter, in decimal.
swtpm_lockout() {
    printf '%d\n' "$(timeout 10 tpm2_getcap -T "$SWTPM_TCTI" properties-variable |
        sed -n 's/^TPM2_PT_LOCKOUT_COUNTER: //p')"
}
