#!/usr/bin/env bash
# plantcert status: from nothing to an expired certificate.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
status() { "$PLANTCERT" status "$@"; }
state_is() { json "$1" 'd["state"] == "'"$1"'"'; }
no_tpm="swtpm:host=127.0.0.1,port=$(free_port)"

check "nothing there" status --json
state_is none
json "is nothing" 'not d["installed"] and d["plant"] is None and d["current"] is None and d["pending"] is None and d["not_after"] is None'
"$PLANTCERT" keygen -q
check "a key" status --json
state_is key_pending
"$PLANTCERT" request -q -o plc.csr
check "a request" status --json
state_is requested
json "its key" 'd["pending"]["key_sha256"] and d["current"] is None'
openssl_ca ours
openssl_sign ours "$UUID1" plc.csr one.crt 100
"$PLANTCERT" install -q --ca ours.crt one.crt
check "a certificate" status --json
state_is installed
json "is told in full" 'd["installed"] and d["serial"] == "'"$(serial_of one.crt)"'" and d["key_check"]["code"] == 0 and d["renew_at"] < d["not_after"]'
if [ "$(id -u)" = 0 ]; then
    # Somebody who may neither read the key's file nor use the TPM.
    nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
    chmod 644 "$PLANTCERT_CONFIG"
    check "another user" nobody "$PLANTCERT" status --json --tcti "$no_tpm"
    json "sees all but the key" 'd["state"] == "installed" and d["serial"] and d["current"] is None and d["key_check"] is None and not d["key_readable"]'
    check "for people" nobody "$PLANTCERT" status --tcti "$no_tpm"
    said "Key +not readable by this user" "says so"
    "$PLANTCERT" keygen -q
    check "with a key pending" nobody "$PLANTCERT" status --json --tcti "$no_tpm"
    json "sees that there is one" 'd["state"] == "rekey_pending" and d["pending"] is None'
    expect 1 "but changes nothing" nobody "$PLANTCERT" forget --force
    "$PLANTCERT" forget -q
else
    skip "another user" "only root can become one"
fi
check "for people" status
said "SHA-256 +$(openssl x509 -in one.crt -noout -fingerprint -sha256 | sed 's/.*=//')" "shows the fingerprint as openssl prints it"
check "--offline, without a TPM" status --offline --json --tcti "$no_tpm"
json "does not ask the TPM" 'd["key_check"] is None and d["installed"]'
expect 4 "the TPM cannot be reached" status --json --tcti "$no_tpm"
json "is an error, and the rest is told" 'd["error"]["code"] == 4 and d["error"]["name"] == "tpm-missing" and d["installed"] and d["key_check"]["code"] == 4'
openssl_sign ours "$UUID1" plc.csr two.crt 20
"$PLANTCERT" install -q two.crt
check "one that ends soon" status --json
state_is due
json "is warned of" '"renew" in d["warnings"][0] and d["due"] and not d["expired"] and d["next"].startswith("Renew")'
expect 5 "three weeks later" days_later 21 "$PLANTCERT" status --json
state_is expired
json "is an error by name" 'd["error"]["name"] == "certificate-expired" and d["due"] and d["expired"] and not d["clock"]["implausible"]'
"$PLANTCERT" keygen -q
check "with a key pending" status
said "State +rekey_pending, due$" "it is due all the same"
expect 5 "or over" days_later 21 "$PLANTCERT" status
said "State +rekey_pending, expired$" "and says so"
"$PLANTCERT" forget -q
expect 0 "ten years later, past the trust anchor's end" days_later 3650 "$PLANTCERT" status --json
json "it is the clock that is not believed" 'd["clock"]["implausible"] and not d["clock"]["behind"] and d["state"] == "due"'
expect 0 "in 1970" days_later -20000 "$PLANTCERT" status --json
json "so too" 'd["clock"]["behind"] and d["clock"]["floor"] > d["clock"]["now"] and d["state"] == "due"'
handle=$(swtpm_handles persistent | grep '^0x8102')
tpm2_evictcontrol -T "$SWTPM_TCTI" -C o -c "$handle" >/dev/null
expect 5 "the key is gone from the TPM" status --json
json "is told, by name" 'd["key_check"]["code"] == 5 and d["error"]["name"] == "key-absent"'
finish
