#!/bin/bash
# What the device's side costs in TPM commands, counted at the TCTI: a new identity, the check at boot, and the same from a station.
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
. "$PC_SOURCE/tests/integration/tpm/driver.sh"
# shellcheck source=tests/cli/est.sh
. "$PC_SOURCE/tests/cli/est.sh"
need openssl
cd "$WORK" || exit 1
plc_start
openssl_ca root
# The SRK is there, as on every PLC but a new one.
expect 0 "a storage key" drive create ec none.pem
sed -i "s|^tcti .*|tcti = $RECORDER:log=$WORK/log\|$SWTPM_TCTI|" "$PLANTCERT_CONFIG"

# costs MOST DESCRIPTION COMMAND…: succeeds, with at most so many TPM commands; adds them to `total`.
costs() {
    local most=$1 what=$2 spent
    shift 2
    : >log
    expect 0 "$what" "$@" || return
    spent=$(grep -c . log)
    total=$((total + spent))
    if [ "$spent" -le "$most" ]; then pass "… with $spent commands"; else fail "… with at most $most commands" "$spent: $(sent)"; fi
}

# identity KIND STORE KEYGEN REQUEST INSTALL CHECK: the most that each may cost.
identity() {
    local kind=$1 store=$2 all
    shift 2
    total=0
    rm -rf voke && mkdir voke
    sed -i "s|^key .*|key = $kind|; /^store/d; s|^dir .*|&\nstore = $store|" "$PLANTCERT_CONFIG"
    costs "$1" "keygen ($kind, $store)" "$PLANTCERT" keygen
    costs "$2" "request" "$PLANTCERT" request -o plc.csr
    openssl_sign root "$UUID1" plc.csr plc.crt
    costs "$3" "install" "$PLANTCERT" install --ca root.crt plc.crt
    all=$total
    echo "# $kind, $store: keygen, request and install take $all commands"
    same "$((all <= $1 + $2 + $3))" 1 "… all three within $(($1 + $2 + $3))"
    costs "$4" "check" "$PLANTCERT" check
    check "… nothing stays loaded" swtpm_is_clean
    costs 99 "forget" "$PLANTCERT" forget --force
}
identity ec:P-256 handle 10 2 2 1
identity ec:P-256 blob 8 5 5 4
identity rsa:2048 handle 11 2 2 1
identity rsa:2048 blob 9 5 5 4

# enrolments KIND STORE FIRST NEEDED RENEW REKEY: the most that each may cost from a station, to which the TPM signs the TLS handshake, too.
enrolments() {
    rm -rf voke && mkdir voke
    sed -i "s|^key .*|key = $1|; s|^store .*|store = $2|" "$PLANTCERT_CONFIG"
    costs "$3" "enroll ($1, $2)" "$PLANTCERT" enroll
    costs "$4" "enroll, nothing needed" "$PLANTCERT" enroll
    behave successor 25
    costs "$5" "renew" "$PLANTCERT" renew
    behave ok
    costs "$6" "rekey" "$PLANTCERT" rekey
    check "… nothing stays loaded" swtpm_is_clean
    costs 99 "forget" "$PLANTCERT" forget --force
}
est_prepare
sed -i "/^url/a trust = $WORK/CA.crt" "$PLANTCERT_CONFIG"
station TLSv1_3
enrolments ec:P-256 handle 14 1 7 17
enrolments ec:P-256 blob 18 4 19 27
finish
