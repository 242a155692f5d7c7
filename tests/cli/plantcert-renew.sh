#!/usr/bin/env bash
# plantcert renew: the same key asks again; and the CA's answer to it is installed beside the old one.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
printf '[renew]\nbefore = 10d\n' >>"$PLANTCERT_CONFIG"
cd "$WORK" || exit 1
renew() { "$PLANTCERT" renew "$@"; }
ours() { swtpm_handles persistent | grep -c '^0x8102'; }
key_of() { openssl "$1" -in "$2" -noout -pubkey; }

expect 5 "nothing installed" renew --json
json "is refused by name" 'd["error"]["name"] == "not-installed"'
"$PLANTCERT" request -q -o plc.csr
expect 5 "a pending key alone" renew
openssl_ca ours
openssl_sign ours "$UUID1" plc.csr one.crt 28
"$PLANTCERT" install -q --ca ours.crt one.crt
before=$(cd voke && find . ! -name .lock -printf '%p %T@\n' | sort)
check "--if-due, with four weeks left" renew --if-due --json -o early.csr
json "says until when" 'not d["due"] and d["renew_at"] < d["not_after"] and d["plant"] == "'"$UUID1"'"'
check "for people" renew --if-due
said "Not due before" "so too"
check "and writes nothing" test ! -e early.csr
check "--if-due, when it is due" days_later 20 "$PLANTCERT" renew --if-due --json -o due.csr
json "asks with the installed key" 'd["due"] and d["current"]["key_sha256"] == d["key_sha256"] and not d["made"] and d["file"] == "due.csr"'
json "on time: nothing to warn of" '"warnings" not in d'
check "without it, at any time" renew -o again.csr
said "the CA may refuse to renew before 20" "with a warning"
same "$(key_of req again.csr)" "$(key_of x509 one.crt)" "the key is the installed one"
same "$(openssl req -in again.csr -noout -subject -nameopt RFC2253)" "subject=CN=$UUID1" "the plant too"
check "the request verifies" openssl req -in due.csr -noout -verify
same "$(cd voke && find . ! -name .lock -printf '%p %T@\n' | sort)" "$before" "nothing in the folder has changed"
expect 0 "to standard output" renew
said "BEGIN CERTIFICATE REQUEST" "in PEM"

# What is for somebody else, or by somebody else, is not installed.
openssl x509 -req -in again.csr -CA ours.crt -CAkey ours.key -set_serial 7 -days 20 -extfile <(sed "s/$UUID1/$UUID2/" device.ext) \
    -subj "/CN=$UUID2" -out foreign.crt 2>/dev/null
expect 5 "an answer for another plant" "$PLANTCERT" install --json foreign.crt
json "is refused by name" 'd["error"]["name"] == "install-cn"'
openssl_ca theirs
openssl_sign theirs "$UUID1" again.csr foreign.crt
expect 5 "an answer by another CA" "$PLANTCERT" install --json foreign.crt
json "is refused by name" 'd["error"]["name"] == "chain-anchor" and "CN=theirs" in d["error"]["message"] and "CN=ours" in d["error"]["message"]'
same "$(serial_of voke/device.crt)" "$(serial_of one.crt)" "the old certificate stands"
openssl_sign ours "$UUID1" again.csr two.crt 29
check "the right answer" "$PLANTCERT" install -q two.crt
check "status" "$PLANTCERT" status --json
json "has switched, with the one before kept" 'd["state"] == "switched" and d["previous"] == "0001" and not d["confirmed"] and "confirm" in d["next"]'
same "$(ours)" 1 "one key in the TPM"

sed "s/^plant = .*/plant = $UUID2/" plantcert.conf >other.conf
expect 5 "another plant is configured" renew -c other.conf --json
json "is refused by name" 'd["error"]["name"] == "plant-differs"'
tpm2_evictcontrol -T "$SWTPM_TCTI" -Q -C o -c "$(swtpm_handles persistent | grep '^0x8102')"
expect 5 "the key is gone from the TPM" renew -o lost.csr --json
json "says what to do" 'd["error"]["name"] == "key-absent" and "plantcert request" in d["error"]["message"]'
check "and writes nothing" test ! -e lost.csr
expect 4 "no TPM" renew --json --tcti "swtpm:host=127.0.0.1,port=$(free_port)"
expect 5 "somebody may not write there" renew --json -o /dev/null
json "before anything is signed" 'd["error"]["name"] == "file-kind"'
check "nothing is left loaded" swtpm_is_clean
finish
