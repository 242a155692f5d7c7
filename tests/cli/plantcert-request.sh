#!/usr/bin/env bash
# plantcert request: the CSR, signed in the TPM, the same key each time.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
request() { "$PLANTCERT" request "$@"; }
key_of() { openssl req -in "$1" -noout -pubkey; }

expect 2 "a plant that is none" request --plant plc
expect 2 "a plant in upper case" request --plant "${UUID1^^}"
grep -v '^plant' "$PLANTCERT_CONFIG" >no-plant.conf
expect 2 "no plant at all" request -c no-plant.conf
mkdir folder
expect 5 "output to a folder" request -o folder
same "$(swtpm_handles persistent | grep -c '^0x8102')" 0 "none of these made a key"

check "request -o" request -o plc.csr --json
json "tells key and file" 'd["made"] and d["file"] == "plc.csr" and d["plant"] == "'"$UUID1"'"'
same "$(openssl req -in plc.csr -noout -verify 2>&1 | grep -c OK)" 1 "the signature verifies"
same "$(openssl req -in plc.csr -noout -subject -nameopt RFC2253)" "subject=CN=$UUID1" "CN is the plant and nothing else"
fingerprint=$(openssl pkey -pubin -outform DER <<<"$(key_of plc.csr)" | sha256sum | cut -d ' ' -f 1)
json "the fingerprint is that of the key" 'd["key_sha256"] == "'"$fingerprint"'"'
piped() { "$PLANTCERT" request >again.csr 2>again.err; }
check "to standard output" piped
same "$(key_of again.csr)" "$(key_of plc.csr)" "the same key again"
same "$(grep -c "$fingerprint" again.err)" 1 "with the fingerprint on stderr"
check "--json to standard output" request --json
json "holds the request" 'd["csr_pem"].startswith("-----BEGIN CERTIFICATE REQUEST-----") and not d["made"]'
expect 5 "another plant with that key" request --plant "$UUID2" --json
json "is refused by name" 'd["error"]["name"] == "plant-differs"'
check "nothing is left loaded" swtpm_is_clean
finish
