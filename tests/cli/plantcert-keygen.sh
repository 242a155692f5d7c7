#!/usr/bin/env bash
# plantcert keygen: one pending key, however often it is asked for.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
need tpm2_changeauth
plc_start
keygen() { "$PLANTCERT" keygen "$@"; }

check "keygen" keygen --json
json "makes a key" 'd["made"] and d["pending"]["key"] == "ec:P-256" and d["pending"]["store"] == "handle" and len(d["key_sha256"]) == 64'
json "at a handle of the configured range" '0x81020000 <= int(d["pending"]["handle"], 16) <= 0x8102000f'
fingerprint=$(/usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["key_sha256"])' "$WORK/out")
same "$(swtpm_handles persistent | grep -c '^0x8102')" 1 "one key persists in the TPM"
check "again" keygen --json
json "is the same key" 'not d["made"] and d["key_sha256"] == "'"$fingerprint"'"'
check "for people" keygen
said "Key SHA-256 +$fingerprint" "shows the fingerprint"
same "$(swtpm_handles persistent | grep -c '^0x8102')" 1 "still one key persists"
check "nothing is left loaded" swtpm_is_clean

sed "s|^dir .*|dir = $WORK/blob\nstore = blob|; s|^key .*|key = rsa:2048|" "$PLANTCERT_CONFIG" >"$WORK/blob.conf"
mkdir "$WORK/blob"
check "an RSA key as a blob" keygen -c "$WORK/blob.conf" --json
json "has no handle" 'd["made"] and d["pending"]["key"] == "rsa:2048" and d["pending"]["store"] == "blob" and d["pending"]["handle"] is None'
same "$(grep -rlE 'BEGIN (RSA |EC |ENCRYPTED )?PRIVATE KEY' "$WORK/blob" "$WORK/voke")" "" "no file holds a private key in the clear"

# --- an owner with an auth value ---
tpm2_changeauth -T "$SWTPM_TCTI" -c o secret
check "a key that is ready is kept without the owner" keygen --json
expect 3 "forget does not remove it without the owner's auth value" "$PLANTCERT" forget
said 'wants an auth value, and none was given; --owner-auth-file or \[tpm\] owner-auth-file' "and says what is wanted"
same "$(swtpm_handles persistent | grep -c '^0x8102')" 1 "the key persists still"
printf 'secret\n' >"$WORK/owner"
chmod 644 "$WORK/owner"
expect 3 "a file that others can read is refused" "$PLANTCERT" forget --owner-auth-file "$WORK/owner"
said "owner's auth value file $WORK/owner has mode 0644" "and named"
chmod 600 "$WORK/owner"
printf 'wrong\n' >"$WORK/wrong"
chmod 600 "$WORK/wrong"
expect 3 "a wrong value is refused" "$PLANTCERT" forget --owner-auth-file "$WORK/wrong" --json
json "by name" 'd["error"]["name"] == "tpm-auth" and d["error"]["code"] == 3'
expect 2 "a file and a descriptor exclude each other" "$PLANTCERT" forget --owner-auth-file "$WORK/owner" --owner-auth-fd 0
expect 3 "a descriptor that is not open" "$PLANTCERT" forget --owner-auth-fd 77
by_descriptor() { "$PLANTCERT" forget --owner-auth-fd 5 5<"$WORK/owner"; }
check "the right value by a descriptor" by_descriptor
same "$(swtpm_handles persistent | grep -c '^0x8102')" 0 "the key is gone"
sed -i "s|^tcti .*|&\nowner-auth-file = $WORK/owner|" "$PLANTCERT_CONFIG"
check "the right value by the configuration" keygen --json
json "a key is made" 'd["made"]'
check "config" "$PLANTCERT" config
said "^owner-auth-file += $WORK/owner" "shows the file's name"
same "$(grep -c secret "$WORK/out")" 0 "and not what is in it"
check "forget" "$PLANTCERT" forget
tpm2_changeauth -T "$SWTPM_TCTI" -c o -p secret
same "$(swtpm_lockout)" 0 "no failure was counted"
finish
