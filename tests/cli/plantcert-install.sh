#!/usr/bin/env bash
# plantcert install: all or nothing; whatever does not fit is refused, and the old set stands.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
install() { "$PLANTCERT" install "$@"; }
openssl_ca ours
openssl_ca foreign
"$PLANTCERT" request -q -o plc.csr
openssl_sign ours "$UUID1" plc.csr good.crt
openssl_sign foreign "$UUID1" plc.csr foreign-leaf.crt
new_csr "$UUID1" soft.key soft.csr
openssl_sign ours "$UUID1" soft.csr soft.crt
echo rubbish >rubbish
files() { stat voke/ca.crt voke/device.crt voke/device.tpm 2>/dev/null | grep -c File:; }

expect 2 "no chain" install
expect 2 "chain and anchor on standard input" install --ca - -
expect 1 "a chain that is not there" install --ca ours.crt none.crt
expect 5 "no trust anchor at first" install good.crt
expect 5 "a chain that is none" install --ca ours.crt rubbish
expect 5 "an anchor that is none" install --ca rubbish good.crt
expect 5 "a chain to another anchor" install --ca ours.crt foreign-leaf.crt
expect 5 "another key" install --ca ours.crt soft.crt
expect 4 "the TPM cannot be reached" install --ca ours.crt good.crt --tcti "swtpm:host=127.0.0.1,port=$(free_port)"
same "$(files)" 0 "none of these installed a file"

check "install" install --ca ours.crt good.crt --json
json "tells what is installed" 'not d["already"] and d["plant"] == "'"$UUID1"'" and d["serial"] == "'"$(serial_of good.crt)"'" and not d["reload_failed"]'
same "$(files)" 3 "three files"
same "$(stat -Lc %a voke/ca.crt voke/device.crt voke/device.tpm | tr '\n' ' ')" "644 644 600 " "modes 0644, 0644, 0600"
same "$(grep -rlE 'BEGIN (RSA |EC |ENCRYPTED )?PRIVATE KEY' voke)$(find voke -name device.key)" "" "no private key is on the disk"
check "again" install good.crt --json
json "is done already" 'd["already"]'
expect 5 "another key, later" install soft.crt
same "$(serial_of voke/device.crt)" "$(serial_of good.crt)" "the old set stands"
openssl_sign ours "$UUID1" plc.csr later.crt
piped() { install - <later.crt; }
check "a later certificate for the same key, on standard input" piped
same "$(serial_of voke/device.crt)" "$(serial_of later.crt)" "is installed"
printf '%s\n' "reload = echo reloaded >>$WORK/reloads; exit 3" "group = $(id -gn)" >device.part
sed "/^plant /r device.part" "$PLANTCERT_CONFIG" >reload.conf
openssl_sign ours "$UUID1" plc.csr last.crt
expect 1 "a reload command that fails" install -c reload.conf last.crt --json
json "is told" 'd["reload_failed"] and d["error"]["code"] == 1'
same "$(serial_of voke/device.crt) $(cat reloads)" "$(serial_of last.crt) reloaded" "the new set stands"
same "$(stat -Lc '%a %G' voke/device.tpm)" "640 $(id -gn)" "with a group, device.tpm has mode 0640 and is the group's"
check "nothing is left loaded" swtpm_is_clean
finish
