#!/bin/bash
# Runs one of the test programs of this folder with a software TPM of its own: device.sh PROGRAM [ARGUMENT…]
# Cuts here end processes, not machines: memory serves as well as a disk, and fsync costs nothing there.
[ -w /dev/shm ] && export TMPDIR=/dev/shm
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh"
need_swtpm tpm2_evictcontrol tpm2_createprimary tpm2_flushcontext tpm2_clear
swtpm_start tpm
export WORK TSS2_LOG=all+NONE
export TCTI_RECORDER="$PC_BUILD/tests/integration/tpm/tcti_recorder.so"
"$@"
exit
