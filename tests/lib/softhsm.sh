# shellcheck shell=bash
# SoftHSM for shell tests: a token folder of the test's own. Sourced after common.sh, which owns $WORK and takes it away again.
# Use: softhsm_start; softhsm_token LABEL PIN; then $SOFTHSM_MODULE is the PKCS#11 module to configure.

# softhsm_start: an empty token folder under $WORK and its configuration, exported as SOFTHSM2_CONF; sets and exports SOFTHSM_MODULE.
softhsm_start() {
    local dir candidate
    need softhsm2-util
    SOFTHSM_MODULE=
    for candidate in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so; do
        [ -e "$candidate" ] || continue
        SOFTHSM_MODULE=$candidate
        break
    done
    need "${SOFTHSM_MODULE:-libsofthsm2.so}"
    export SOFTHSM_MODULE
    dir=$WORK/softhsm
    mkdir -p "$dir/tokens"
    export SOFTHSM2_CONF=$dir/softhsm2.conf
    printf '%s\n' "directories.tokendir = $dir/tokens" 'objectstore.backend = file' 'log.level = ERROR' \
        'slots.removable = false' >"$SOFTHSM2_CONF"
}

# softhsm_token LABEL PIN [SO-PIN]: a new token with that label and user PIN. Called again with the same label, it makes a second one.
softhsm_token() {
    softhsm2-util --init-token --free --label "$1" --pin "$2" --so-pin "${3:-so-$2}" >"$WORK/softhsm/init.out" 2>&1 || {
        sed 's/^/# /' "$WORK/softhsm/init.out" >&2
        return 1
    }
}

# softhsm_serial LABEL: the serial number of the first token with that label.
softhsm_serial() {
    softhsm2-util --show-slots | awk -v label="$1" '
        /Serial number:/ { serial = $3 }
        /Label:/ { sub(/^[^:]*:[ \t]*/, ""); sub(/[ \t]+$/, ""); if ($0 == label) { print serial; exit } }'
}

# softhsm_lose LABEL: the token is gone, with every key in it, as if the device had been pulled out for good.
softhsm_lose() {
    softhsm2-util --delete-token --token "$1" >"$WORK/softhsm/delete.out" 2>&1
}
