#!/bin/bash
# The demonstration as a user runs it: every step passes, nothing is left running, no private key lies on the PLC, what it says to type next
# works, and a folder that is not its own is left alone.
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
need softhsm2-util swtpm tpm2_getcap mosquitto_pub
dir=$WORK/demo
running() { pgrep -f -- "$1" | grep -v "^$$\$"; }
nothing_runs() { ! running "$dir/"; }

check "the demonstration" "$PC_SOURCE/demo" --no-build --dir "$dir"
said '^[0-9]+ passed, 0 failed, 0 skipped$' "it ends with its count"
said 'not authorized' "another plant's topic is refused"
said 'certificate revoked, refused' "the revoked PLC is refused"
check "nothing is left running" nothing_runs
check "again, in the same folder" "$PC_SOURCE/demo" --no-build --dir "$dir"
check "nothing is left running the second time" nothing_runs

for file in ca.crt device.crt device.tpm; do check "voke/$file is there" test -s "$dir/voke/$file"; done
expect 1 "no device.key anywhere" sh -c "find $dir -name device.key | grep ."
expect 1 "no private key on the PLC" grep -rlE 'BEGIN (RSA |EC |ENCRYPTED )?PRIVATE KEY' "$dir/voke" "$dir/plc"
expect 1 "no CA key outside the token" grep -rlE 'BEGIN (RSA |EC |ENCRYPTED )?PRIVATE KEY' "$dir/ca" "$dir/certs"

next() { sh -c ". $dir/env && $*"; }
check "what to type next: plantca list" next plantca list
said 'revoked' "the list shows the revoked certificate"
check "what to type next: plantca show" next plantca show a1b2c3d4-0000-0000-0000-000000000001
check "what to type next: plantca status" next plantca status
check "what to type next: plantcert status --offline" next plantcert status --offline

mkdir "$WORK/mine" && echo precious >"$WORK/mine/file"
expect 2 "a folder that is not a demonstration's is refused" "$PC_SOURCE/demo" --no-build --dir "$WORK/mine"
same "$(cat "$WORK/mine/file")" precious "and left alone"
finish
