# shellcheck shell=bash
# A real mosquitto on a free loopback port: mutual TLS, the certificate's CN as the user name, the pattern ACL of the platform.
# Use after common.sh: mosquitto_start CA_FILE CERTIFICATE KEY [CRL_FILE [TLS_VERSION]]; sets MOSQUITTO_PORT, MOSQUITTO_PID, MOSQUITTO_LOG.
# Certificates and keys are only read; the folder, the log and the port are this test's own. Four variables, if set: MOSQUITTO_ACL, a text
# that stands before the patterns; MOSQUITTO_SETTINGS, lines that replace those of the same name; MOSQUITTO_OPENSSL_CONF, the broker's own OpenSSL configuration; MOSQUITTO_ENV, an array of NAME=VALUE.

mosquitto_started() {
    grep -q 'mosquitto version .* running' "$MOSQUITTO_LOG" || ! kill -0 "$MOSQUITTO_PID" 2>/dev/null
}

mosquitto_start() {
    local ca=$1 cert=$2 key=$3 crl=${4:-} version=${5:-} dir attempt setting value
    command -v mosquitto >/dev/null || PATH=$PATH:/usr/sbin
    for attempt in 1 2 3; do
        MOSQUITTO_PORT=$(free_port)
        dir=$(mktemp -d "$WORK/mosquitto.XXXXXX")
        MOSQUITTO_LOG=$dir/log
        {
            [ -z "${MOSQUITTO_ACL:-}" ] || printf '%s\n' "$MOSQUITTO_ACL"
            printf 'pattern write cpi/%%u/%s\n' telemetry status ack
            echo 'pattern read cpi/%u/commands'
        } >"$dir/acl"
        {
            echo 'per_listener_settings false'
            echo 'persistence false'
            # Started as root, it would otherwise become a user who cannot read this test's files.
            echo 'user root'
            echo "log_dest file $MOSQUITTO_LOG"
            echo 'log_type all'
            echo "listener $MOSQUITTO_PORT 127.0.0.1"
            echo "cafile $ca"
            echo "certfile $cert"
            echo "keyfile $key"
            [ -z "$crl" ] || echo "crlfile $crl"
            [ -z "$version" ] || echo "tls_version $version"
            echo 'require_certificate true'
            echo 'use_identity_as_username true'
            echo 'allow_anonymous false'
            echo "acl_file $dir/acl"
        } >"$dir/conf"
        while read -r setting value; do
            [ -z "$setting" ] || { sed -i "/^$setting /d" "$dir/conf" && echo "$setting $value" >>"$dir/conf"; }
        done <<<"${MOSQUITTO_SETTINGS:-}"
        : >"$MOSQUITTO_LOG"
        # Not the configuration of the clients under test.
        OPENSSL_CONF=${MOSQUITTO_OPENSSL_CONF:-/etc/ssl/openssl.cnf} env ${MOSQUITTO_ENV[@]+"${MOSQUITTO_ENV[@]}"} mosquitto -c "$dir/conf" >"$dir/out" 2>&1 &
        MOSQUITTO_PID=$!
        PIDS+=("$MOSQUITTO_PID")
        wait_for 10 mosquitto_started
        kill -0 "$MOSQUITTO_PID" 2>/dev/null && return 0
        # Another process may have taken the port in between.
        grep -q 'Address already in use' "$MOSQUITTO_LOG" "$dir/out" || break
    done
    echo "# mosquitto did not start (attempt $attempt):" >&2
    sed 's/^/#   /' "$MOSQUITTO_LOG" "$dir/out" >&2
    return 1
}

# mosquitto_reload: SIGHUP, and waits until the broker has read its files again.
mosquitto_reload() {
    local before
    before=$(grep -c 'Reloading config' "$MOSQUITTO_LOG")
    kill -HUP "$MOSQUITTO_PID"
    wait_for 10 mosquitto_reloaded "$before"
}
mosquitto_reloaded() { [ "$(grep -c 'Reloading config' "$MOSQUITTO_LOG")" -gt "$1" ]; }

# mosquitto_logged PATTERN [SECONDS]: the broker's log has, or gets in time, a line that matches the extended regular expression.
mosquitto_logged() { wait_for "${2:-5}" grep -qE -- "$1" "$MOSQUITTO_LOG"; }
