#!/usr/bin/env bash
# plantcert keygen: one pending key, however often it is asked for.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
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
finish
