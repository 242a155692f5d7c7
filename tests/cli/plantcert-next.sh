#!/usr/bin/env bash
# What a PLC says is to be done next, in each state that a technician may find it in: what is said can be done there, and leads on.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/old_ca.sh
. "${PC_SOURCE:?}/tests/lib/old_ca.sh"
need tpm2_clear
plc_start
cd "$WORK" || exit 1
printf '[renew]\nbefore = 5d\n[mqtt]\nbroker = localhost:1\n' >>"$PLANTCERT_CONFIG"
install() { "$PLANTCERT" install -q "$@"; }
# next CODE STATE TEXT DESCRIPTION [COMMAND…]: status ends with CODE, in this state, and its advice has this text.
next() {
    local code=$1 state=$2 text=$3 what=$4
    shift 4
    [ $# -gt 0 ] || set -- "$PLANTCERT" status
    expect "$code" "$what" "$@" --json
    json "$what: $state, $text" '(d["state"], """'"$text"'""" in d["next"]) == ("'"$state"'", True)'
}
# no TEXT DESCRIPTION: the last advice does not have it.
no() { json "$2" '"""'"$1"'""" not in d["next"]'; }

# --- plain files of before ---
openssl_ca ours
old_ca old /CN=Old
old_device old "$UUID1"
cp old/ca.crt "old/devices/$UUID1/device.crt" "old/devices/$UUID1/device.key" voke
next 0 none "takes the plain files over" "plain files"
json "are told as a flag" 'd["plain"] and d["legacy"] and not d["installed"]'
check "and to people" "$PLANTCERT" status
said "a PLC with plain files: request, then install takes them over" "in status"
expect 6 "check" "$PLANTCERT" check
said "not-installed|a PLC with plain files: request, then install takes them over" "says so"
expect 6 "doctor" "$PLANTCERT" doctor
said "^Cause: .*a PLC with plain files: request, then install takes them over" "too"
"$PLANTCERT" request -q -o plc.csr
openssl_sign ours "$UUID1" plc.csr one.crt
expect 5 "without an anchor" install one.crt
said "plain ca.crt .* is not taken for a trust anchor" "that of the plain files will not do"
openssl x509 -in one.crt -outform DER -out one.der
openssl x509 -in ours.crt -outform DER -out ours.der
check "taken over, from DER" install --ca ours.der one.der
next 0 switched "go back: plantcert rollback" "then"
check "offline" "$PLANTCERT" status --offline --json
json "the way back is known too: it needs no TPM" 'd["next"].endswith("or go back: plantcert rollback.")'
check "back" "$PLANTCERT" rollback -q
next 0 rolled_back "plantcert confirm --unproven" "back to the plain files"
check "which can be said there" "$PLANTCERT" confirm -q --unproven
next 0 confirmed "plantcert rekey, plantca sign, plantcert install" "confirmed"
no forget "the key in use is not to be destroyed"
check "which leads on" "$PLANTCERT" rekey -q -o two.csr
next 0 rekey_pending "plantca sign, then plantcert install" "a key waits"
check "forgotten" "$PLANTCERT" forget -q --force
rm -rf voke && mkdir voke

# --- a key that was taken back ---
"$PLANTCERT" request -q -o plc.csr
openssl_sign ours "$UUID1" plc.csr one.crt
next 0 requested "plantca sign" "a request"
new_key other.key
new_csr "$UUID2" other.key other.csr
openssl_sign ours "$UUID2" other.csr other.crt
expect 5 "another PLC's certificate" install --ca ours.crt other.crt
said "$UUID2.*$UUID1" "is told by both names"
rm -rf voke && mkdir voke
adopt() { "$PLANTCERT" keygen -q --adopt "$@"; }
"$PLANTCERT" keygen -q && mv voke away && mkdir voke
expect 5 "a handle with nothing at it" adopt 0x81020007 one.crt
said "0x81020000 \\(the certificate's\\), 0x81020001" "tells what there is"
expect 5 "another's key" adopt 0x81000001 one.crt
said "0x81020000 \\(the certificate's\\)" "too"
sed 's/^plant = .*//' "$PLANTCERT_CONFIG" >any.conf
expect 5 "a certificate for no key here" adopt auto other.crt -c any.conf --json
json "says so" 'd["error"]["name"] == "adopt-key" and "0x81020001" in d["error"]["message"]'
head -c 100 one.der >cut.der
expect 5 "what is no certificate" adopt auto cut.der
rm -rf voke && mv away voke && "$PLANTCERT" forget -q && rm -rf voke && mkdir voke
check "looked for" adopt auto one.crt
next 0 requested "Install the certificate: plantcert install --ca CA CHAIN" "adopted"
no "plantca sign" "it is signed already"
json "adopted, as a flag" 'd["adopted"]'
check "asked for anew all the same" "$PLANTCERT" request -q -o again.csr
next 0 requested "plantca sign" "a request again"
check "installed" install --ca ours.crt one.crt
next 0 installed "" "a sound PLC"
json "has nothing to do" 'd["next"] == "" and not d["plain"] and not d["adopted"] and not d["reload_owed"]'

# --- settings, clock, reload ---
sed "s/^plant = .*/plant = $UUID2/" "$PLANTCERT_CONFIG" >other.conf
next 5 installed "Correct [device] plant" "another plant is configured" "$PLANTCERT" status -c other.conf
json "as check says it" 'd["error"]["name"] == "install-cn" and "'"$UUID2"'" in d["error"]["message"]'
next 5 installed "Correct [device] plant" "check" "$PLANTCERT" check -c other.conf
next 0 installed "Set the clock" "in 1970" days_later -20000 "$PLANTCERT" status --offline
next 0 installed "Set the clock" "in ten years" days_later 3650 "$PLANTCERT" status --offline
sed 's/^key .*/&\nreload = exit 3/' "$PLANTCERT_CONFIG" >failing.conf
"$PLANTCERT" rekey -q -o two.csr
openssl_sign ours "$UUID1" two.csr two.crt
expect 1 "a reload that fails" install -c failing.conf two.crt
next 0 switched "plantcert reload" "it is owed" "$PLANTCERT" status -c failing.conf
json "as a flag" 'd["reload_owed"]'
check "to people" "$PLANTCERT" status -c failing.conf
said "^Reload +owed" "too"
next 1 switched "plantcert reload" "check tries it" "$PLANTCERT" check -c failing.conf
sed 's/^key .*/&\nreload = true/' "$PLANTCERT_CONFIG" >good.conf
next 0 switched "plantcert reload" "one that is left to others" "$PLANTCERT" check -c good.conf --defer-reload
next 0 switched "plantcert rollback" "one that works" "$PLANTCERT" check -c good.conf
json "is owed no more" 'not d["reload_owed"]'
next 0 switched "go back: plantcert rollback" "the way back" "$PLANTCERT" status -c good.conf
next 0 switched "if the key of before is still in the TPM" "offline" "$PLANTCERT" status --offline

# --- keys that are gone ---
tpm2_evictcontrol -T "$SWTPM_TCTI" -Q -C o -c 0x81020000
next 0 switched "Prove the new set" "the key of before is gone"
no rollback "there is no way back"
serial=$(serial_of two.crt)
"$PLANTCERT" rekey -q -o three.csr
next 0 rekey_pending "plantca sign --replace $serial" "a new key"
check "to people" "$PLANTCERT" status
said "^TPM +has the installed key" "which key the TPM has"
said "^TPM +has the pending key" "is said of both"
tpm2_evictcontrol -T "$SWTPM_TCTI" -Q -C o -c "$(swtpm_handles persistent | grep '^0x8102' | grep -v 0x81020001)"
next 0 rekey_pending "plantcert rekey" "the pending key alone is gone"
check "which leads on" "$PLANTCERT" rekey -q -o three.csr
tpm2_clear -T "$SWTPM_TCTI" -Q -c p
next 5 rekey_pending "Start afresh: plantcert request, plantca sign --replace $serial, plantcert install" "the TPM was cleared"
no "Have the new key" "no key is to be certified that is not there"
json "said once" 'd["error"]["message"].count("cleared") == 1 and "?" not in d["error"]["message"]'
expect 5 "doctor" "$PLANTCERT" doctor --json
json "says the same" '"Start afresh: plantcert request, plantca sign --replace '"$serial"'" in d["cause"]["advice"]'
check "which leads on" "$PLANTCERT" request -q -o four.csr
next 5 rekey_pending "Have the new key certified: plantca sign --replace $serial" "a key in the cleared TPM"
openssl_sign ours "$UUID1" four.csr four.crt
check "installed" install four.crt
next 0 switched "Prove the new set" "on the cleared TPM"
no rollback "there is no way back"
check "forgotten" "$PLANTCERT" forget -q --force
"$PLANTCERT" request -q -o five.csr
tpm2_clear -T "$SWTPM_TCTI" -Q -c p
next 5 requested "Start afresh: plantcert request" "cleared before anything was installed"
check "nothing is left loaded" swtpm_is_clean
finish
