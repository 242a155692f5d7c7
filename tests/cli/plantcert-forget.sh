#!/usr/bin/env bash
# plantcert forget: what this program made, and nothing else.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
forget() { "$PLANTCERT" forget "$@"; }
ours() { swtpm_handles persistent | grep -c '^0x8102'; }

check "nothing to forget" forget --json
json "removes nothing" 'd["handles"] == 0'
tpm2_createprimary -T "$SWTPM_TCTI" -Q -C o -G ecc -c foreign.ctx
tpm2_evictcontrol -T "$SWTPM_TCTI" -Q -C o -c foreign.ctx 0x81020000
tpm2_flushcontext -T "$SWTPM_TCTI" -t
"$PLANTCERT" keygen -q
same "$(ours)" 2 "a key of ours beside one that is not"
check "a pending key" forget --json
json "is removed" 'd["handles"] == 1'
same "$(swtpm_handles persistent | grep '^0x8102')" 0x81020000 "the other stands"

"$PLANTCERT" request -q -o plc.csr
openssl_ca ours
openssl_sign ours "$UUID1" plc.csr one.crt
"$PLANTCERT" install -q --ca ours.crt one.crt
touch voke/notes.txt
expect 5 "a key in use" forget --json
json "is refused by name" 'd["error"]["name"] == "key-in-use"'
same "$(ours) $(serial_of voke/device.crt)" "2 $(serial_of one.crt)" "and stands"
"$PLANTCERT" keygen -q
check "a key pending beside it" forget --json
json "goes alone" 'd["handles"] == 1 and d["files"] == 2'
same "$(ours) $(serial_of voke/device.crt)" "2 $(serial_of one.crt)" "and the key in use stands"
check "--force" forget --force --json
json "removes it" 'd["handles"] == 1 and d["files"] > 0'
same "$(swtpm_handles persistent | grep '^0x8102')" 0x81020000 "the other stands still"
same "$(ls voke)" notes.txt "so does a file that is not ours"
check "status" "$PLANTCERT" status --json
json "has nothing" 'd["state"] == "none"'
check "nothing is left loaded" swtpm_is_clean
finish
