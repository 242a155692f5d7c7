#!/usr/bin/env bash
# plantcert rekey: a new key beside the old one, round and round.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
# Two handles only: the key before the current one has to make room for each but the first.
sed -i 's/^key .*/&\nhandles = 0x81020000-0x81020001/' "$PLANTCERT_CONFIG"
printf '[renew]\nbefore = 10d\n' >>"$PLANTCERT_CONFIG"
cd "$WORK" || exit 1
rekey() { "$PLANTCERT" rekey "$@"; }
ours() { swtpm_handles persistent | grep -c '^0x8102'; }
key_of() { openssl "$1" -in "$2" -noout -pubkey; }
state() { "$PLANTCERT" status --offline --json | sed -n 's/.*"state": *"\([a-z_]*\)".*/\1/p'; }

expect 5 "nothing installed" rekey --json
json "is refused by name" 'd["error"]["name"] == "not-installed"'
"$PLANTCERT" request -q -o plc.csr
openssl_ca ours
openssl_sign ours "$UUID1" plc.csr one.crt 28
"$PLANTCERT" install -q --ca ours.crt one.crt
check "--if-due, with four weeks left" rekey --if-due --json -o early.csr
json "says until when" 'not d["due"]'
same "$(ours) $(state)" "1 installed" "and makes no key"
check "when it is due" days_later 20 "$PLANTCERT" rekey --if-due --json -o two.csr
json "makes a key" 'd["due"] and d["made"] and d["pending"]["handle"] == "0x81020001"'
same "$(ours) $(state)" "2 rekey_pending" "beside the old one"
check "again" rekey --json -o again.csr
json "uses the same one" 'not d["made"] and d["pending"]["handle"] == "0x81020001"'
same "$(key_of req two.csr)" "$(key_of req again.csr)" "in the same request"
check "the request verifies" openssl req -in two.csr -noout -verify
same "$(serial_of voke/device.crt)" "$(serial_of one.crt)" "the old certificate stands"
check "given up" "$PLANTCERT" forget
same "$(ours) $(state)" "1 installed" "the old key and set stand alone"

for turn in two three four; do
    check "turn $turn: a key" rekey -q -o "$turn.csr"
    openssl_sign ours "$UUID1" "$turn.csr" "$turn.crt" 28
    check "is installed" "$PLANTCERT" install -q "$turn.crt"
    same "$(ours) $(state) $(serial_of voke/device.crt)" "2 switched $(serial_of "$turn.crt")" "the one before it is kept"
done

check "a key for which there is no room but that of the one before" rekey -q -o five.csr
same "$(ours)" 2 "which made room"
check "the current set" "$PLANTCERT" status --json
json "has its key" 'd["key_check"]["code"] == 0 and d["state"] == "rekey_pending"'
check "given up" "$PLANTCERT" forget
expect 5 "what cannot be gone back to any more" "$PLANTCERT" rollback --json
json "says so" 'd["error"]["name"] in ("key-absent", "key-name") and "slot" in d["error"]["message"]'
tpm2_createprimary -T "$SWTPM_TCTI" -Q -C o -G ecc -c foreign.ctx
tpm2_evictcontrol -T "$SWTPM_TCTI" -Q -C o -c foreign.ctx "$(for h in 0x81020000 0x81020001; do swtpm_handles persistent | grep -q "$h" || echo "$h"; done)"
tpm2_flushcontext -T "$SWTPM_TCTI" -t
expect 4 "no room at all" rekey --json
json "is told" 'd["error"]["name"] == "tpm-full"'
same "$(serial_of voke/device.crt)" "$(serial_of four.crt)" "and the set stands"
expect 4 "again" rekey --json
check "given up" "$PLANTCERT" forget
same "$(state)" switched "nothing is pending"
check "nothing is left loaded" swtpm_is_clean
finish
