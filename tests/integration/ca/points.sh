# shellcheck shell=bash
# What the tests share that stop a command of plantca at some point: where each command starts, what is typed, and what must be the outcome.
# Sourced after common.sh with: SHIM INTERCEPT STEP SHARD SHARDS [NAME…], STEP being how many points make one that is tried, of which every
# SHARDS-th falls to this run. Everything that a command touches lies in $WORK/run, so that a point starts with a copy of it.
# shellcheck disable=SC2034 # used by those who source it
# shellcheck source=tests/lib/softhsm.sh
. "$PC_SOURCE/tests/lib/softhsm.sh"
# shellcheck source=tests/lib/old_ca.sh
. "$PC_SOURCE/tests/lib/old_ca.sh"
SHIM=$(realpath "$1") INTERCEPT=$(realpath "$2") STEP=$3 SHARD=$4 SHARDS=$5
shift 5
need openssl p11tool /usr/bin/python3
softhsm_start
"$INTERCEPT" none 0 write "$WORK/log" true 2>/dev/null || {
    echo "1..0 # SKIP no system call can be watched here"
    exit 0
}
OUTCOME=$PC_SOURCE/tests/integration/ca/outcome.py
export ASAN_OPTIONS=detect_leaks=0 SHIM_MODULE=$SOFTHSM_MODULE SHIM_SIGNED=$WORK/run/signed PLANTCA_CONFIG=$WORK/plantca.conf
unset CA_SUBJECT CA_DAYS DEVICE_DAYS BROKER_CN
printf '1234\n' >"$WORK/pin" && chmod 600 "$WORK/pin"
cat >"$PLANTCA_CONFIG" <<CONF
[token]
module   = $SHIM
label    = voke-ca
pin-file = $WORK/pin
[ca]
state    = $WORK/run/state
key      = ec:P-256
[publish]
dir      = $WORK/run/published
reload   = true
CONF
printf '%s\n' "directories.tokendir = $WORK/run/token" 'objectstore.backend = file' 'log.level = ERROR' >"$SOFTHSM2_CONF"
cd "$WORK" || exit 1
A=a1b2c3d4-0000-0000-0000-000000000001
B=a1b2c3d4-0000-0000-0000-000000000002
H=a1b2c3d4-0000-0000-0000-000000000003

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
request() {
    new_key key.pem
    openssl req -new -key key.pem -subj "/CN=$1" -out "$2"
}
must() {
    "$@" >out 2>err </dev/null || {
        echo "Bail out! $*: $(cat err)"
        exit 1
    }
}

# --- what the points start from: an empty token; and an authority with a plant, another one on hold, and a publication ---
mkdir -p run/token run/out
softhsm_token voke-ca 1234
cp -a run empty
must "$PLANTCA" init
request $A a.csr
request $A a2.csr
request $B b.csr
request $H h.csr
must "$PLANTCA" sign --plant $A a.csr -o run/out/a.crt
must "$PLANTCA" sign --plant $H h.csr
must "$PLANTCA" hold --plant $H
must "$PLANTCA" publish
rm -f run/signed
cp -a run base
SERIAL=$(openssl x509 -in run/out/a.crt -noout -serial | sed 's/.*=//')
mkdir requests
for i in 4 5 6; do request "${A%1}$i" "requests/${A%1}$i.csr"; done
old_ca old "/C=CZ/O=Test/CN=Old CA"
for i in 7 8; do old_device old "${A%1}$i"; done
openssl ca -config old/ca.cnf -revoke old/newcerts/1001.pem 2>/dev/null
old_crl old

# of NAME START COMMAND…
declare -A START COMMAND
NAMES=()
of() {
    "$PLANTCA" "$3" --help >/dev/null 2>&1 || return
    START[$1]=$2
    COMMAND[$1]=${*:3}
    NAMES+=("$1")
}
of init empty init
of sign base sign --plant $B b.csr -o run/out/b.crt
of replace base sign --plant $A --replace "$SERIAL" a2.csr -o run/out/a2.crt
of batch base sign --batch requests -o run/out
of revoke base revoke --plant $A --reason keyCompromise
of hold base hold --plant $A
of release base release --plant $H
of crl base crl -o run/out/ca.crl
of publish base publish
of jwt-key base jwt-key -o run/out/jwt.pem
of import base import --ca old/ca.crt --crl old/ca.crl --index old/index.txt --devices old/devices

# start NAME: run/ is what the command starts from.
start() { rm -rf run && cp -a "${START[$1]}" run; }

# typed NAME PROGRAM…: what is typed for NAME, given to PROGRAM.
# shellcheck disable=SC2086 # words
typed() { "${@:2}" ${COMMAND[$1]}; }

# reference NAME CALLS: runs the command undisturbed; keeps what it left as reference.NAME, the system calls in `log`, the token's in `calls`.
reference() {
    start "$1"
    : >calls
    SHIM_LOG=$WORK/calls typed "$1" "$PLANTCA" >out 2>err </dev/null || return
    start "$1"
    typed "$1" "$INTERCEPT" none 0 "$2" log "$PLANTCA" >out 2>err </dev/null && cp -a run "reference.$1"
}

# mine AT: whether this point is tried, and by this shard.
mine() { [ $(($1 % STEP)) = 0 ] && [ $(($1 / STEP % SHARDS)) = "$SHARD" ]; }

# destroyed: SoftHSM truncates its token's own file before it writes it, at each login: what that loses is not ours.
destroyed() { find run/token -name token.object -size 0 | grep -q .; }

# outcome NAME: the command once more, which does what is left or finds it done; then prints what is not as it must be.
outcome() {
    local status
    typed "$1" "$PLANTCA" --json >again 2>err </dev/null
    status=$?
    case $1:$status:$(grep -o '"name": "[a-z-]*"' again) in
    *:0:*) ;;
    # The whole of it was done before.
    init:5:*'"ca-exists"' | release:5:*'"record-not-held"') ;;
    *) echo "again: exit $status: $(cat err)" ;;
    esac
    # Where the CA is there, its audit key is made by whatever logs in next.
    [ "$1" != init ] || "$PLANTCA" ensure >out 2>err </dev/null || echo "ensure: exit $?: $(cat err)"
    [ -n "${LACK:-}" ] || "$PLANTCA" audit verify >out 2>err </dev/null || echo "audit verify: exit $?: $(cat err)"
    /usr/bin/python3 "$OUTCOME" run "${START[$1]}" "reference.$1" 2>&1
}
