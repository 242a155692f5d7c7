#!/bin/bash
# Many users of a raw TPM at once: "load.sh ROUNDS" gives each of eight threads so many signatures to make. Afterwards nothing is left in the TPM.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh"
# shellcheck source=tests/integration/provider/setup.sh
. "$PC_SOURCE/tests/integration/provider/setup.sh"
provider_setup
LOAD="$PC_BUILD/tests/integration/provider/provider_load"
ROUNDS=${1:-20}
BOTH=$(provider_conf both "$SWTPM_TCTI" yes default plantcert)
export WORK
cd "$WORK" || exit 1

OPENSSL_CONF=$BOTH check "8 threads, $ROUNDS signatures each; forks" "$LOAD" "$ROUNDS"
sed -n 's/^ok [0-9]* - /# /p; s/^# ok .*/&/p' out
check 'nothing is left in the TPM' swtpm_is_clean

# --- two processes, and a third that is none of ours: each waits for the others ---
OPENSSL_CONF=$BOTH "$LOAD" "$ROUNDS" ec-blob.tpm >one.out 2>&1 &
one=$!
OPENSSL_CONF=$BOTH "$LOAD" "$ROUNDS" rsa-handle.tpm >two.out 2>&1 &
two=$!
asked=0
while kill -0 $one 2>/dev/null || kill -0 $two 2>/dev/null; do
    tpm2_getrandom -T "$SWTPM_TCTI" 8 >/dev/null 2>other.err || fail "tpm2_getrandom beside them" "$(cat other.err)"
    asked=$((asked + 1))
done
check "two processes at once, the first ($(cat one.out))" wait $one
check "two processes at once, the second ($(cat two.out))" wait $two
check "and tpm2_getrandom $asked times beside them" test "$asked" -gt 0
check 'nothing is left in the TPM' swtpm_is_clean
finish
