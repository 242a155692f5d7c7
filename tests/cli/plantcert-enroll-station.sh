#!/usr/bin/env bash
# plantcert enroll against the real station: a PLC's life from its first code to a new key, with the request bound to the TLS session.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/station.sh
. "$PC_SOURCE/tests/lib/station.sh"
# shellcheck source=tests/lib/station_cuts.sh
. "$PC_SOURCE/tests/lib/station_cuts.sh"
# shellcheck disable=SC2034 # for station_cuts.sh
INTERCEPT=$(realpath "${1:?}")
cd "$WORK" || exit 1
export TMPDIR=$WORK
ca_prepare
station_settings 'retry-after = 1s' 'metrics = 127.0.0.1:0' 'binding = yes'
"$PLANTCA" init -q || fail "a CA"
plc_start
station_start --single
printf '[station]\nurl = https://localhost:%s\ntrust = %s\ntimeout = 2s\n' "$STATION_PORT" "$WORK/state/ca.crt" >>"$PLANTCERT_CONFIG"
enroll() { "$PLANTCERT" enroll --json "$@"; }
refused() { json "is refused by name" "d[\"error\"][\"name\"] == \"$1\""; }
key() { "$PLANTCERT" status --json --offline | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["current"]["key_sha256"])'; }
is() { json "$1" "$2"; }

expect 4 "a port where no TLS is spoken" enroll --url "https://${STATION_METRICS/127.0.0.1/localhost}"
refused station-unreachable
said "speaks no TLS" "says so"
expect 5 "a plant that nobody knows" enroll
refused station-code
printf '01234-56789-ABCDE-FGHJK-MNPQR\n' >unknown
chmod 600 unknown
expect 5 "with some code" "$PLANTCERT" enroll --code-file unknown
cp err unknown.err
"$PLANTCA" allow --plant "$UUID1" --code --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["code"])' >code
chmod 600 code
tr 0-9ABCDEFGH 1-9ABCDEFGH0 <code >wrong
chmod 600 wrong
expect 5 "with a wrong code" "$PLANTCERT" enroll --code-file wrong
same "$(cat err)" "$(cat unknown.err)" "is told what one is told whom nobody knows"
said "first check the code.*plant $UUID1.*plantca plants.*only then.*plantca allow --plant $UUID1 --code$" "in the order in which things are looked at"
tr A-Z- 'a-z ' <code | sed 's/0/o/g; s/1/l/g' >typed
chmod 600 typed
check "with its code, as people type" enroll --code-file typed
is "is enrolled" 'd["way"] == "first" and d["enrolled"] and d["plant"] == "'"$UUID1"'"'
check "the set is good" "$PLANTCERT" check
serial=$(serial_of voke/device.crt)
key=$(key)
check "and nothing else is needed" enroll
is "without the network" 'd["way"] == "needed"'
check "renew" "$PLANTCERT" renew --json
is "gives a successor" 'd["way"] == "renew" and d["enrolled"] and d["serial"] != "'"$serial"'"'
same "$(key)" "$key" "for the same key"
check "rekey" "$PLANTCERT" rekey --json
is "gives a certificate" 'd["way"] == "rekey" and d["enrolled"]'
same "$(key | grep -c "$key")" 0 "for a new key"
check "the set is good" "$PLANTCERT" check
expect 2 "doctor, without an OpenSSL configuration" "$PLANTCERT" doctor
said "has this PLC's CA" "is content with the station"

# --- admitted by an operator, who is told the key by the PLC ---
serial=$(serial_of voke/device.crt)
"$PLANTCA" allow --plant "$UUID1" --pending --replace "$serial" -q || fail "allow --pending"
expect 6 "anew, by approval" enroll --anew
is "is told whose key waits" 'd["error"]["name"] == "station-pending" and d["retry_after"] >= 1 and len(d["key_sha256"]) == 64'
waiting=$(/usr/bin/python3 -c 'import json; print(json.load(open("out"))["key_sha256"])')
check "which the operator approves" "$PLANTCA" approve "$UUID1" "$waiting"
check "then" enroll --anew
is "the same key is certified" 'd["way"] == "anew" and d["enrolled"] and d["key_sha256"] == "'"$waiting"'"'
"$PLANTCA" revoke --plant "$UUID1" -q || fail "revoke"
expect 5 "a revoked certificate" "$PLANTCERT" renew --json
refused station-refused
is "says how it goes on" '"--anew" in d["error"]["message"]'
expect 5 "anew, without a code" "$PLANTCERT" enroll --anew
said "plantca allow --plant $UUID1 --code \\(and --replace .* if .* current still\\)" "says what helps, whether or not it is current still"
serial=$(serial_of voke/device.crt)
expect 5 "to replace what is revoked" "$PLANTCA" allow --plant "$UUID1" --code --replace "$serial"
code_of() { "$PLANTCA" allow --plant "$UUID1" --code --json "$@" | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["code"])'; }
code_of >code
check "as it was advised" enroll --anew --code-file code
serial=$(serial_of voke/device.crt)
expect 5 "while one is current, a code alone" "$PLANTCA" allow --plant "$UUID1" --code
said "--replace $serial" "leads to the other half of the advice"
code_of --replace "$serial" >code
check "which helps then" enroll --anew --code-file code
check "the set is good" "$PLANTCERT" check
check "nothing is left loaded" swtpm_is_clean

# --- cut off, and run again: a few points; plantcert-enroll-cuts.sh has more ---
check "forget" "$PLANTCERT" forget --force -q
for point in "term enroll 105" "kill enroll 123" "term renew 55" "kill rekey 95" "kill rekey 128"; do
    read -r signal way at <<<"$point"
    [ -e "cut.whole.$way" ] || check "$way, undisturbed" cut_undisturbed "$way"
    check "$way: $signal at call $at, and again" cut_at "$signal" "$way" "$at"
    same "$CUT_OVER" no "it was cut off"
done
finish
