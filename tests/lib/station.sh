# shellcheck shell=bash
# A running `plantca serve` for shell tests, with the configuration that PLANTCA_CONFIG names. Sourced after common.sh.

# station_settings [LINE…]: a section of PLANTCA_CONFIG for a station on any free port, whose limits no test has to wait for, and LINEs more.
station_settings() {
    printf '%s\n' '[station]' 'listen = 127.0.0.1:0' "socket = $WORK/signer.sock" 'early-renewal = yes' 'rekey-interval = 0' "$@" >>"$PLANTCA_CONFIG"
    [ "$(id -u)" -ne 0 ] || echo 'network-user = nobody' >>"$PLANTCA_CONFIG"
}

# station_start [OPTION…]: starts it and waits until it serves, or says why it does not; sets STATION_PID, STATION_PORT, STATION_METRICS (host:port, if any).
station_start() {
    "$PLANTCA" serve "$@" >"$WORK/station.out" 2>"$WORK/station.err" </dev/null &
    STATION_PID=$!
    PIDS+=("$STATION_PID")
    wait_for 40 station_told
    [ -s "$WORK/station.out" ] || {
        cat "$WORK/station.err"
        return 1
    }
    STATION_PORT=$(sed -nE '1s/.*:([0-9]+)"?[],].*|.*:([0-9]+)$/\1\2/p' "$WORK/station.out")
    # shellcheck disable=SC2034 # for the tests
    STATION_METRICS=$(sed -nE 's|^metrics on http://(.*)/metrics$|\1|p' "$WORK/station.out")
}
# Either it has said where it listens, or it is gone.
station_told() { [ -s "$WORK/station.out" ] || ! kill -0 "$STATION_PID" 2>/dev/null; }

# station_worker: the process that speaks to clients: the youngest child of the master that is in a sandbox.
station_worker() {
    local pid
    for pid in $(pgrep -P "$STATION_PID" | sort -rn); do
        ! grep -q '^Seccomp:.2' "/proc/$pid/status" 2>/dev/null || { echo "$pid" && return; }
    done
}

# station_answers CERTIFICATE: it shows exactly this certificate, and answers a request.
station_answers() {
    local shown
    shown=$(openssl s_client -connect "127.0.0.1:$STATION_PORT" -servername localhost </dev/null 2>/dev/null | openssl x509 -outform der 2>/dev/null | sha256sum)
    [ "$shown" = "$(openssl x509 -in "$1" -outform der | sha256sum)" ] && curl -sk "https://127.0.0.1:$STATION_PORT/"
}
