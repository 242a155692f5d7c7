#!/usr/bin/env bash
# plantcert rollback: back to the set before while that is good, and forward again.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
rollback() { "$PLANTCERT" rollback "$@"; }
ours() { swtpm_handles persistent | grep -c '^0x8102'; }
state() { "$PLANTCERT" status --offline --json | sed -n 's/.*"state": *"\([a-z_]*\)".*/\1/p'; }

expect 5 "nothing installed" rollback --json
json "is refused by name" 'd["error"]["name"] == "not-installed"'
"$PLANTCERT" request -q -o plc.csr
openssl_ca ours
openssl_sign ours "$UUID1" plc.csr one.crt 10
"$PLANTCERT" install -q --ca ours.crt one.crt
expect 5 "nothing before it" rollback --json
json "is refused by name" 'd["error"]["name"] == "rollback-none"'
printf 'reload = echo >>%s\n' "$WORK/reloads" >reload
sed -i "/^key /r reload" plantcert.conf
"$PLANTCERT" rekey -q -o two.csr
openssl_sign ours "$UUID1" two.csr two.crt 29
"$PLANTCERT" install -q two.crt
same "$(wc -l <reloads)" 1 "a new set, and clients know"
expect 5 "the one before has expired" days_later 11 "$PLANTCERT" rollback --json
json "is refused by name" 'd["error"]["name"] == "chain-expired"'
same "$(serial_of voke/device.crt) $(wc -l <reloads)" "$(serial_of two.crt) 1" "and the new one stands"
check "while it is good" rollback --json
json "it is current again" 'not d["already"] and d["serial"] == "'"$(serial_of one.crt)"'" and d["generation"] == "0001" and not d["reload_failed"]'
same "$(serial_of voke/device.crt) $(wc -l <reloads)" "$(serial_of one.crt) 2" "and clients know"
check "status" "$PLANTCERT" status --json
json "says so" 'd["rolled_back"] and d["previous"] == "0002" and d["key_check"]["code"] == 0'
same "$(ours)" 2 "the newer key is kept"
check "again" rollback --json
json "changes nothing" 'd["already"] and d["generation"] == "0001"'
same "$(wc -l <reloads)" 2 "and tells nobody"
check "forward again" "$PLANTCERT" install -q two.crt
same "$(serial_of voke/device.crt) $(ours)" "$(serial_of two.crt) 2" "with the newer key"
check "and back, the reload left owed" rollback --json --defer-reload
json "as it says" 'd["reload_owed"] and not d["reload_failed"]'
same "$(wc -l <reloads)" 3 "it has not run"
check "then run" rollback --json
json "and owed no more" 'not d["reload_owed"]'
same "$(wc -l <reloads)" 4 "once"
expect 5 "the newer key does not go unasked" "$PLANTCERT" confirm --json
json "by name" 'd["error"]["name"] == "confirm-rolled-back"'
same "$(ours)" 2 "both keys stay"
check "keeping the old one after all" "$PLANTCERT" confirm --unproven --json
json "is warned of" 'any("overlap" in w for w in d["warnings"])'
json "drops the newer" 'd["handles"] == 1 and not d["proven"]'
same "$(ours) $(serial_of voke/device.crt)" "1 $(serial_of one.crt)" "and its key"
expect 5 "nothing is left to go back to" rollback

# A key that is not there any more.
"$PLANTCERT" rekey -q -o three.csr
openssl_sign ours "$UUID1" three.csr three.crt 29
"$PLANTCERT" install -q three.crt
tpm2_evictcontrol -T "$SWTPM_TCTI" -Q -C o -c 0x81020000
expect 5 "the old key is gone" rollback --json
json "is told" 'd["error"]["name"] == "key-absent" and "generation" in d["error"]["message"]'
same "$(serial_of voke/device.crt)" "$(serial_of three.crt)" "the new set stands"
sed -i 's/^reload .*/reload = exit 3/' plantcert.conf
"$PLANTCERT" rekey -q -o four.csr
openssl_sign ours "$UUID1" four.csr four.crt 29
expect 1 "a reload that fails" "$PLANTCERT" install -q four.crt
expect 1 "after going back too" rollback --json
json "is told, and the set stands" 'd["reload_failed"] and d["serial"] == "'"$(serial_of three.crt)"'"'
# A current set that the disk has spoilt: back is the way out, where its record still tells.
sed -i '/^reload /d' plantcert.conf
"$PLANTCERT" install -q four.crt
cp -a voke spoilt
for file in ca.crt device.crt device.tpm; do
    rm -rf voke
    cp -a spoilt voke
    : >voke/current/$file
    expect 5 "$file is empty" "$PLANTCERT" check
    check "back from it" rollback --json
    json "to the set before" 'd["serial"] == "'"$(serial_of three.crt)"'"'
    check "which is good" "$PLANTCERT" check
    check "status" "$PLANTCERT" status --json
    json "what is spoilt is kept, its key may be whole" 'd["previous"] == "0004"'
done
rm -rf voke
cp -a spoilt voke
: >voke/current/record
check "its record is empty" rollback --json
json "to the newest set that was current before it" 'd["serial"] == "'"$(serial_of three.crt)"'"'
same "$(cd voke/generations && echo *) $(ours)" "0002 0004 2" "nor is anything cleared away"
rm -rf voke
cp -a spoilt voke

# What an earlier run could not clear away, for want of the owner's auth value, is no reason not to go back.
"$PLANTCERT" forget -q --force
sed -i '/^reload /d' plantcert.conf
tpm2_changeauth -T "$SWTPM_TCTI" -Q -c o secret
printf 'secret\n' >owner
chmod 600 owner
for name in five six seven; do
    "$PLANTCERT" request -q -o $name.csr --owner-auth-file owner
    openssl_sign ours "$UUID1" $name.csr $name.crt 29
    "$PLANTCERT" install -q --ca ours.crt $name.crt 2>"$WORK/err"
done
said "cleared away later" "a key stays that nothing needs any more"
same "$(ours)" 3 "beside the two that are kept"
check "back, without the auth value" rollback
same "$(serial_of voke/device.crt)" "$(serial_of six.crt)" "to the set before"
said "cleared away later" "and the key is told of"
check "renew" "$PLANTCERT" renew -o eight.csr
openssl_sign ours "$UUID1" eight.csr eight.crt 29
check "install" "$PLANTCERT" install eight.crt
check "confirm" "$PLANTCERT" confirm
check "once more" "$PLANTCERT" confirm
check "with the auth value" "$PLANTCERT" confirm --owner-auth-file owner
same "$(ours)" 1 "they go"
check "nothing is left loaded" swtpm_is_clean
finish
