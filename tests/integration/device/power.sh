#!/bin/bash
# Runs power.py, power_lockout.py or walk.py, with what it needs:
#   power.sh INTERCEPT MODE STORE STEP SHARD SHARDS [SCENARIO…]
#   power.sh INTERCEPT lockout CUTS
#   power.sh INTERCEPT walk STORE SEED WALKS STEPS
# A disk is an image that is mounted in a mount namespace of this test's own: it ends with the last process in it, however that ends.
[ -w /dev/shm ] && export TMPDIR=/dev/shm
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh"
INTERCEPT=$(realpath "$1") MODE=$2
shift
need_swtpm openssl tpm2_clear /usr/bin/python3
export WORK INTERCEPT
unset PLANTCERT_CONFIG PLANTCERT_TCTI PLANTCERT_ALLOW_SIMULATOR OPENSSL_CONF

# mountable: whether an image can be mounted here, in a namespace of its own.
mountable() {
    truncate -s 1M "$WORK/try" && mkfs.ext4 -q -F "$WORK/try" && mkdir "$WORK/tried" &&
        unshare -m mount -o loop "$WORK/try" "$WORK/tried"
} >/dev/null 2>&1

NAMESPACE=()
if [ "$MODE" = disk ]; then
    need mkfs.ext4
    NAMESPACE=(unshare -m)
    if ! mountable; then
        [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && [ -e /dev/loop-control ] && echo "not ok 1 - no image can be mounted" && exit 1
        echo "1..0 # SKIP no image can be mounted here (it takes root and a loop device)"
        exit 0
    fi
elif { [ "$MODE" = files ] || [ "$MODE" = walk ]; } && ! "$INTERCEPT" none 0 write "$WORK/log" true 2>/dev/null; then
    echo "1..0 # SKIP no system call can be watched here"
    exit 0
fi
PROGRAM=power.py
if [ "$MODE" = lockout ]; then
    need tpm2_create tpm2_createprimary tpm2_dictionarylockout
    PROGRAM=power_lockout.py
    shift
fi
if [ "$MODE" = walk ]; then
    need tpm2_createprimary tpm2_evictcontrol tpm2_flushcontext
    PROGRAM=walk.py
    shift
fi
PORT=$(free_port 2) "${NAMESPACE[@]}" /usr/bin/python3 -B "$PC_SOURCE/tests/integration/device/$PROGRAM" "$@"
exit
