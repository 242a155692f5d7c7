#!/usr/bin/env bash
# plantcert check with a TPM that answers late or never: each ends within 30 s.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
recorder=$PC_BUILD/tests/integration/tpm/tcti_recorder.so
openssl_ca ours
"$PLANTCERT" request -q -o plc.csr
openssl_sign ours "$UUID1" plc.csr plc.crt
check "install" "$PLANTCERT" install --ca ours.crt plc.crt

# bounded DESCRIPTION RULES: exit 4 within 30 s.
bounded() {
    local begun
    begun=$(date +%s)
    expect 4 "$1" "$PLANTCERT" check --tcti "$recorder:$2|$SWTPM_TCTI" --json
    local took=$(($(date +%s) - begun))
    [ "$took" -le 30 ]
    same $? 0 "$1: within 30 s ($took s)"
    json "$1: the state is told all the same" 'd["state"] == "due" and d["key_check"]["code"] == 4'
}
bounded "a TPM that never answers" "drop=0@0"
bounded "a TPM that keeps saying RETRY" "fail=0@0=922"
bounded "a TPM that takes twenty seconds a command" "delay=0@0=20000"
check "and with a sound one" "$PLANTCERT" check
finish
