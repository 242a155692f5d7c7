#!/usr/bin/env bash
# plantcert check and reload, at boot: what is good, what is not, what was cut off; commands, seconds and memory counted.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
printf '[renew]\nbefore = 5d\n' >>"$PLANTCERT_CONFIG"
recorder=$PC_BUILD/tests/integration/tpm/tcti_recorder.so
boot() { "$PLANTCERT" check "$@"; }
# counted: the number of TPM commands of one check.
counted() {
    rm -f log
    expect 0 "check, counted" boot --tcti "$recorder:log=$WORK/log|$SWTPM_TCTI"
    commands=$(wc -l <log)
}
openssl_ca ours
openssl_ca foreign

expect 6 "nothing is there" boot --json
json "is told by name" 'd["error"]["name"] == "not-installed" and d["state"] == "none" and d["next"]'
rm -r voke
expect 6 "not even a folder" boot
[ ! -e voke ]
same $? 0 "and none is made"
mkdir voke
"$PLANTCERT" request -q -o plc.csr
expect 6 "requested" boot --json
json "the state is shown" 'd["state"] == "requested" and d["error"]["code"] == 6'
check "nothing is owed" "$PLANTCERT" reload --json
json "and so nothing ran" 'd["ran"] is False'

openssl_sign ours "$UUID1" plc.csr good.crt
check "install" "$PLANTCERT" install --ca ours.crt good.crt
check "installed" boot --json
json "is good" 'd["state"] == "installed" and d["key_check"]["code"] == 0 and "error" not in d and d["clock"]["floor"]'
check "quietly" boot --quiet
silent "says nothing"
counted
[ "$commands" -ge 1 ] && [ "$commands" -le 3 ]
same $? 0 "at most three TPM commands for a handle ($commands)"

# The clock.
check "in 1970" days_later -20700 boot --json
json "by the floor" 'd["clock"]["behind"] and d["state"] == "installed" and d["warnings"]'
check "in 2106" days_later 29300 boot --json
json "which no anchor reaches" 'd["clock"]["implausible"] and d["warnings"]'
expect 5 "when the certificate has ended, and the anchor has not" days_later 25 boot --json
json "is told" 'd["error"]["name"] == "chain-expired" and d["state"] == "expired"'

# What was cut off, or changed by others.
rm voke/device.crt voke/device.tpm
chmod 700 voke/generations voke/current/.
chmod 600 voke/current/ca.crt
chmod 644 voke/current/device.tpm
mkdir voke/generations/0009 voke/pending
touch voke/current/.left
check "links, modes and leftovers" boot
same "$(stat -Lc %a voke/ca.crt voke/device.crt voke/device.tpm voke/current voke/generations | xargs)" "644 644 600 755 755" \
    "are put right"
same "$(find voke -name .left -o -name 0009 -o -name pending)" "" "or cleared away"
cp voke/ca.crt plain && rm voke/ca.crt && cp plain voke/ca.crt
expect 5 "a plain file hides a link" boot --json
json "is told by name" 'd["error"]["name"] == "dir-legacy"'
rm voke/ca.crt
check "without it the link comes back" boot
for spoilt in "chmod 777 voke" "chmod 775 voke/generations" "chmod 666 voke/current/ca.crt" "chown -h 4711 voke/current" \
    "chown 4711 voke" "chown 4711 voke/current/ca.crt"; do
    [ "$(id -u)" = 0 ] || case $spoilt in chown*) continue ;; esac
    cp -a voke kept
    $spoilt
    expect 5 "$spoilt" boot --json
    json "is told by name" 'd["error"]["name"] == "dir-owner"'
    expect 5 "and nothing is installed there" "$PLANTCERT" install --ca foreign.crt good.crt
    rm -rf voke && mv kept voke
done
cp -a voke kept
echo rubbish >voke/current/ca.crt
expect 5 "a damaged anchor" boot
rm voke/current/ca.crt
expect 5 "a lost anchor" boot
cp foreign.crt voke/current/ca.crt
expect 5 "another anchor" boot --json
json "is told by name" 'd["error"]["name"] == "chain-anchor"'
rm -rf voke && cp -a kept voke
echo rubbish >voke/current/device.tpm
expect 5 "a damaged key file" boot
rm -rf voke && cp -a kept voke
echo rubbish >voke/current/record
expect 5 "a damaged record" boot
rm -rf voke && cp -a kept voke
echo rubbish >voke/clock
check "a damaged clock" boot
grep -q "^floor = 20" voke/clock
same $? 0 "is written anew"
sed "s/^plant .*/plant = $UUID2/" "$PLANTCERT_CONFIG" >other.conf
expect 5 "configured for another plant" boot -c other.conf --json
json "is told by name" 'd["error"]["name"] == "install-cn"'

# What is owed.
sed "/^plant /i reload = echo told >>$WORK/told" "$PLANTCERT_CONFIG" >reload.conf
openssl_sign ours "$UUID1" plc.csr next.crt
check "an install that defers" "$PLANTCERT" install -c reload.conf --defer-reload next.crt --json
json "says so" 'd["reload_owed"] and not d["reload_failed"]'
check "a check that defers" boot -c reload.conf --defer-reload
[ ! -e told ]
same $? 0 "nobody was told yet"
check "reload" "$PLANTCERT" reload -c reload.conf --json
json "tells" 'd["ran"]'
check "once" "$PLANTCERT" reload -c reload.conf
openssl_sign ours "$UUID1" plc.csr third.crt
check "another" "$PLANTCERT" install -c reload.conf --defer-reload third.crt
sed 's/echo told/exit 7; &/' reload.conf >failing.conf
expect 1 "a reload that fails" "$PLANTCERT" reload -c failing.conf
expect 1 "in a check, too" boot -c failing.conf
check "stays owed to a check" boot -c reload.conf
check "and no longer" boot -c reload.conf
same "$(wc -l <told)" 2 "each switch was told once"

# The TPM.
expect 4 "no TPM there" boot --tcti "swtpm:host=127.0.0.1,port=$(free_port)" --json
json "is told" 'd["error"]["name"] == "tpm-missing" and d["key_check"]["code"] == 4 and d["state"]'
expect 3 "a lockout" boot --tcti "$recorder:fail=0@0=921|$SWTPM_TCTI"
check "due" days_later 16 boot --json
json "is good, with a warning" 'd["state"] == "due" and d["warnings"]'

# Memory: the greatest resident set of the process itself.
need /usr/bin/time
check "measured" /usr/bin/time -f %M -o "$WORK/kib" "$PLANTCERT" check
kib=$(tail -n 1 "$WORK/kib")
if [ -n "${PC_PRELOAD:-}" ]; then
    skip "memory" "a sanitizer's runtime has its own needs"
else
    [ "$kib" -le 16384 ]
    same $? 0 "at most 16 MiB ($kib KiB)"
fi
sed "s/^key .*/key = ec:P-256\nstore = blob/" "$PLANTCERT_CONFIG" >blob.conf
export PLANTCERT_CONFIG=$WORK/blob.conf
"$PLANTCERT" forget -q --force
"$PLANTCERT" request -q -o blob.csr
openssl_sign ours "$UUID1" blob.csr blob.crt
check "install a blob" "$PLANTCERT" install --ca ours.crt blob.crt
counted
[ "$commands" -ge 1 ] && [ "$commands" -le 5 ]
same $? 0 "at most five TPM commands for a blob ($commands)"
check "nothing is left loaded" swtpm_is_clean
timeout 20 tpm2_clear -Q -T "$SWTPM_TCTI" -c p
expect 5 "a cleared TPM" boot --json
json "is told by name, with what to do" 'd["error"]["name"] == "key-absent" and "plantcert request" in d["next"]'
json "in the error too" '"plantca sign --replace" in d["error"]["message"]'
expect 5 "nor can a certificate for the lost key be installed" "$PLANTCERT" install blob.crt --json
json "which says the same" 'd["error"]["name"] == "key-absent" and "plantca sign --replace" in d["error"]["message"]'
finish
