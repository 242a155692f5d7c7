# shellcheck shell=bash
# What the tests of the two programs share: a CA of their own in a token of their own, a PLC of their own with a software TPM,
# requests made by openssl, and a look into JSON. Sourced after common.sh.
# shellcheck source=tests/lib/softhsm.sh
. "${PC_SOURCE:?}/tests/lib/softhsm.sh"
# shellcheck source=tests/lib/swtpm.sh
. "${PC_SOURCE:?}/tests/lib/swtpm.sh"
# shellcheck source=tests/lib/ledger.sh
. "${PC_SOURCE:?}/tests/lib/ledger.sh"

UUID1=a1b2c3d4-0000-4000-8000-000000000001
UUID2=a1b2c3d4-0000-4000-8000-000000000002
export UUID1 UUID2
unset PLANTCA_CONFIG PLANTCERT_CONFIG CA_SUBJECT CA_DAYS DEVICE_DAYS BROKER_CN PLANTCERT_TCTI PLANTCERT_ALLOW_SIMULATOR

# ca_prepare: a token, a PIN file and a configuration for it; no CA yet.
ca_prepare() {
    softhsm_start
    softhsm_token voke-ca 246810
    printf '246810\n' >"$WORK/pin"
    chmod 600 "$WORK/pin"
    export PLANTCA_CONFIG=$WORK/plantca.conf
    cat >"$PLANTCA_CONFIG" <<CONF
[token]
module   = $SOFTHSM_MODULE
label    = voke-ca
pin-file = $WORK/pin
[ca]
state    = $WORK/state
key      = ec:P-256
[publish]
dir      = $WORK/published
CONF
    [ "${PC_LEDGER:-sqlite}" = sqlite ] || ca_in_postgres
}

# ca_in_postgres: the ledger of this test is in PostgreSQL, in a database of its own.
ca_in_postgres() {
    # shellcheck source=tests/lib/postgres.sh
    . "${PC_SOURCE:?}/tests/lib/postgres.sh"
    [ -n "${POSTGRES_DIR:-}" ] || postgres_start || exit 1
    postgres_database plantca
    export PC_LEDGER_URL=$POSTGRES_URL/plantca
    sed -i "s|^\[publish\]|[ledger]\nurl = $POSTGRES_URL/plantca\n&|" "$PLANTCA_CONFIG" # tests add to the last section
}

# in_postgres: whether this run is for PostgreSQL.
in_postgres() { [ "${PC_LEDGER:-sqlite}" = postgres ]; }

# ca_start: the same, and a CA.
ca_start() {
    ca_prepare
    "$PLANTCA" init >"$WORK/out" 2>"$WORK/err" && return
    echo "Bail out! no CA: $(cat "$WORK/err")"
    exit 1
}

# without_token: writes a configuration of the same CA whose token cannot be reached, and gives its path. A command that exits
# as it should with this one has not opened the token.
without_token() {
    sed "s|^module .*|module = $WORK/no-such-module.so|" "$PLANTCA_CONFIG" >"$WORK/no-token.conf"
    echo "$WORK/no-token.conf"
}

# unsigning COMMAND…: runs our program with the token that $PLANTCA_CONFIG names, which takes the PIN and then signs nothing.
unsigning() {
    sed "s|^module .*|module = $PC_BUILD/tests/integration/hsm/pkcs11-shim.so|" "$PLANTCA_CONFIG" >"$WORK/unsigning.conf"
    SHIM_MODULE=$SOFTHSM_MODULE SHIM_FAIL=C_Sign:0:0x5 PLANTCA_CONFIG=$WORK/unsigning.conf "$@"
}

# new_key FILE [CURVE]: a software key, as a PLC of old has it.
new_key() { openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:${2:-P-256}" -out "$1" 2>/dev/null; }

# new_csr CN KEY FILE: a request for it; the key is made if it is not there.
new_csr() {
    [ -e "$2" ] || new_key "$2"
    openssl req -new -key "$2" -subj "/CN=$1" -out "$3"
}

# plc_start: a software TPM and the configuration of a PLC with it.
plc_start() {
    need_swtpm tpm2_evictcontrol
    swtpm_start tpm
    mkdir -p "$WORK/voke"
    export PLANTCERT_CONFIG=$WORK/plantcert.conf
    cat >"$PLANTCERT_CONFIG" <<CONF
[device]
plant = $UUID1
dir   = $WORK/voke
key   = ec:P-256
[tpm]
tcti  = $SWTPM_TCTI
allow-simulator = yes
CONF
}

# openssl_ca NAME: a root by openssl alone ($WORK/NAME.crt), for tests of the device's side.
openssl_ca() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/$1.key" -out "$WORK/$1.crt" -days 30 \
        -subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}

# openssl_sign CA UUID CSR OUT [DAYS]: a device certificate by that root.
openssl_sign() {
    cat >"$WORK/device.ext" <<EXT
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = URI:urn:uuid:$2
EXT
    openssl x509 -req -in "$3" -CA "$WORK/$1.crt" -CAkey "$WORK/$1.key" -set_serial "0x$(openssl rand -hex 16 | sed 's/^./4/')" \
        -days "${5:-20}" -extfile "$WORK/device.ext" -out "$4" 2>/dev/null
}

# json DESCRIPTION EXPRESSION: stdout of the last command is JSON, one object a line, each of schema 1; Python's EXPRESSION holds,
# with `d` the last object and `lines` all of them.
json() {
    local complaint
    if complaint=$(/usr/bin/python3 - "$WORK/out" "$2" 2>&1 <<'PY'
import json, re, sys
lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
for line in lines:
    assert line.get("schema") == 1, "no schema"
    def names(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                assert re.fullmatch(r"[a-z0-9_]+", key), "key %r" % key
                names(inner)
        elif isinstance(value, list):
            for inner in value:
                names(inner)
    names(line)
d = lines[-1] if lines else None
if not eval(sys.argv[2]):
    sys.exit("not so: " + json.dumps(lines)[:1500])
PY
    ); then
        pass "$1"
    else
        fail "$1" "$2" "$complaint"
    fi
}

# silent DESCRIPTION: the last command said nothing at all.
silent() { same "$(cat "$WORK/out" "$WORK/err")" "" "$1"; }

# one_line DESCRIPTION: the last command said one line on stderr and nothing on stdout.
one_line() {
    if [ "$(wc -l <"$WORK/err")" = 1 ] && [ ! -s "$WORK/out" ]; then
        pass "$1"
    else
        fail "$1" "$(cat "$WORK/err" "$WORK/out")"
    fi
}

# mode FILE: its permissions in octal.
mode() { stat -c %a "$1"; }

# days_later DAYS COMMAND…: runs one of our programs with a clock that is ahead (a sanitizer's runtime must be loaded first).
days_later() {
    local days=$1
    shift
    PC_CLOCK_DAYS=$days LD_PRELOAD="${PC_PRELOAD:-} $PC_BUILD/tests/cli/clock.so" "$@"
}

# serial_of FILE: a certificate's serial number as our programs write it.
serial_of() { openssl x509 -noout -serial -in "$1" | sed 's/^serial=//' | tr A-F a-f; }
