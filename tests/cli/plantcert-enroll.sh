#!/usr/bin/env bash
# plantcert enroll: what the PLC needs, from a station that may also lie, be away, or not have decided yet.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/cli/est.sh
. "${PC_SOURCE:?}/tests/cli/est.sh"
plc_start
cd "$WORK" || exit 1
est_prepare

# --- nothing is installed ---
expect 2 "no anchor for the station" enroll
refused station-trust
sed -i '/^url/a trust = '"$WORK"'/CA.crt' "$PLANTCERT_CONFIG"
expect 4 "no station" enroll --timeout 1s
refused station-unreachable
said "connection refused: nothing listens" "says why"
check "a key waits, or none was made" test ! -e voke/current
station
expect 5 "another CA stands behind the station" enroll --trust FOREIGN.crt
refused station-certificate
json "says who made it, and which file was held against it" 'all(w in d["error"]["message"] for w in ("issued by /CN=CA", "the CAs of '"$WORK"'/FOREIGN.crt"))'
cp CA.crt anyone.crt
chmod 666 anyone.crt
expect 2 "an anchor that anyone can exchange" enroll --trust anyone.crt
refused station-trust
: >empty.crt
expect 2 "an anchor file that is empty" enroll --trust empty.crt
refused station-trust
expect 2 "one that is not there" enroll --trust gone.crt
head -c 200 /dev/urandom >garbage.crt
expect 2 "one that holds something else" enroll --trust garbage.crt
refused station-trust
json "names the file" 'd["error"]["message"].startswith("'"$WORK"'/garbage.crt: ")'
expect 5 "another host is named" enroll --url "https://localhost:$PORT"
refused station-certificate
json "says which are" '"not name localhost, but IP:127.0.0.1 (" in d["error"]["message"]'
for url in "https://127.0.0.1:$PORT/path" "https://127.0.0.1:$PORT?x" ftp://x http://127.0.0.1; do
    expect 2 "the address $url" enroll --url "$url"
done
expect 2 "a label with a slash" enroll --label a/b
expect 5 "the anchor for the set is none of the station's" enroll --ca FOREIGN.crt
refused enrol-anchor
for lie in "wrong-key install-key" "wrong-uuid install-cn" "foreign chain-anchor" "extra est-certs" "root install-key" \
    "for=simpleenroll=oversize est-size" "headers est-size" "for=simpleenroll=garbage est-base64" "html est-type" "redirect station-redirect" \
    "403 station-refused" "404 station-refused" "for=simpleenroll=204 est-status"; do
    words=${lie% *}
    behave "${words//=/ }"
    expect 5 "the station lies: ${lie% *}" enroll
    refused "${lie#* }"
done
behave 401
expect 5 "a code is wanted" enroll
json "with what to do" 'd["error"]["name"] == "station-code" and all(w in d["error"]["message"] for w in ("--code-file FILE", "plantca plants", "plantca allow"))'
for fault in close slow "503 3600" "for=cacerts=truncated"; do
    behave "${fault//=/ }"
    expect 4 "the station fails: $fault" enroll --timeout 1s
    refused station-unreachable
    [ "$fault" != "503 3600" ] || json "both times are told" 'all(w in d["error"]["message"] for w in ("wait 3600 s", "is 1 s (--timeout)", "plantcert-enroll.timer"))'
done
# Two answers, each in its own time, would take five seconds.
behave late 2.5
begun=${EPOCHREALTIME/./}
expect 4 "a station that answers late, each time" enroll --timeout 3s
refused station-unreachable
same "$(((${EPOCHREALTIME/./} - begun) / 100000 < 50))" 1 "does not hold it beyond --timeout"
behave 403
expect 5 "what the station says" enroll
json "is shown as text alone" '"not now?[2J" in d["error"]["message"]'
behave for simpleenroll 202 999999999
expect 6 "it has not decided" enroll --wait
json "which an absurd Retry-After does not change" 'd["error"]["name"] == "station-pending" and d["retry_after"] == 3600 and len(d["key_sha256"]) == 64'
same "$(asked POST)" 1 "and there was no time to ask again"
behave ok
check "a station that tells the truth" env SSLKEYLOGFILE="$WORK/keylog" "$PLANTCERT" enroll --json
check "the session's secrets are not logged" test ! -s keylog
same "$(openssl x509 -in voke/device.crt -noout -subject -nameopt RFC2253)" "subject=CN=$UUID1" "the PLC is enrolled"
same "$(cat voke/ca.crt)" "$(cat CA.crt)" "with the anchor that was given"
same "$(ours)" 1 "one key in the TPM"
same "$(grep -c 'auth=-' est/log)" "$(wc -l <est/log)" "no code was sent"

# --- another server than the station ---
other=$(free_port)
openssl s_server -accept "127.0.0.1:$other" -key est/station.key -cert est/station.crt -Verify 1 -quiet >other.out 2>&1 </dev/null &
other_pid=$!
PIDS+=("$other_pid")
wait_for 10 sh -c "ss -ltn | grep -q 127.0.0.1:$other" || fail "the other server"
expect 5 "a server that wants a certificate of everyone" enroll --anew --url "https://127.0.0.1:$other"
refused station-refused
said "as the broker's" "may be the broker"
stop "$other_pid"

# --- a valid set ---
first=$(serial_of voke/device.crt)
stop "$STATION"
check "a valid set: no network" enroll
json "nothing was needed" 'd["way"] == "needed" and not d["enrolled"] and not d["due"]'
sed '/^url/d' plantcert.conf >nowhere.conf
for lost in "--trust nothing.crt" "--trust anyone.crt" "-c nowhere.conf"; do
    # shellcheck disable=SC2086 # words
    check "nothing is due, and the configuration is at fault: $lost" enroll $lost
    json "a warning" 'd["way"] == "needed" and len(d["warnings"]) == 1 and "nothing is due" in d["warnings"][0]'
done
expect 4 "renew asks at once, and the station is away" "$PLANTCERT" renew --json --timeout 1s
check "unless it is not due" "$PLANTCERT" renew --if-due
check "due, and the station is away" days_later 15 "$PLANTCERT" enroll --json --timeout 1s
json "with a warning" 'd["unasked"] and d["due"] and d["way"] == "renew" and any("there is time" in w for w in d["warnings"])'
check "the request is still to be had" "$PLANTCERT" renew -o again.csr
check "in standard output, too" "$PLANTCERT" renew -o -
said "BEGIN CERTIFICATE REQUEST" "in PEM"
station TLSv1_2
for lie in "wrong-key install-key" "wrong-uuid install-cn" "foreign chain-anchor" "extra est-certs" "for=simplereenroll=403 station-refused"; do
    words=${lie% *}
    behave "${words//=/ }"
    expect 5 "at renewal the station lies: ${lie% *}" "$PLANTCERT" renew --json
    refused "${lie#* }"
done
same "$(serial_of voke/device.crt)" "$first" "the old set stands"
behave successor 21
check "renewal over TLS 1.2" "$PLANTCERT" renew --json
json "has installed another certificate" 'd["way"] == "renew" and d["enrolled"] and d["serial"] != "'"$first"'"'
same "$(key_of x509 voke/device.crt)" "$(key_of req again.csr)" "for the same key"
same "$(asked 'POST .*simplereenroll 200 .*client=[0-9a-f]{64}')" 1 "shown: the certificate before"
station
behave successor 28
check "expired: tried all the same" days_later 25 "$PLANTCERT" enroll --json
json "renewed" 'd["way"] == "renew" and d["enrolled"]'

# --- the doctor ---
doctor() { "$PLANTCERT" doctor --json "$@"; }
station_is() { json "$2" '[f["verdict"] for f in d["findings"] if f["step"] == "station"] == ["'"$1"'"]'; }
behave ok
expect 2 "doctor, where OpenSSL knows no provider of ours" doctor
station_is ok "finds the station well"
cp FOREIGN.crt est/cacerts.pem
expect 2 "doctor, at a station of another CA" doctor
station_is warn "which is a warning"
cp CA.crt est/cacerts.pem
sed "s|^trust = .*|trust = $WORK/FOREIGN.crt|" plantcert.conf >foreign.conf
expect 2 "doctor, where another CA stands behind the station" doctor -c foreign.conf
station_is warn "which is a warning, too"
json "with what to compare" 'any("[station] trust" in f["advice"] for f in d["findings"])'

# --- a new key, and a key that is lost ---
behave ok
check "rekey" "$PLANTCERT" rekey --json
json "asks with the old certificate for a new key" 'd["way"] == "rekey" and d["enrolled"] and d["key_sha256"]'
check "status" "$PLANTCERT" status --json
json "has switched to it" 'd["state"] == "switched" and d["pending"] is None and d["previous"]'
same "$(asked 'POST .*simplereenroll 200 .*client=[0-9a-f]{64}')" 1 "shown: the certificate before"
behave for simplereenroll 403
expect 5 "a rekey that the station refuses" "$PLANTCERT" rekey
check "leaves a key that waits" "$PLANTCERT" status --json
json "and says with what it goes on" 'd["state"] == "rekey_pending" and "plantcert enroll" in d["next"]'
behave for simplereenroll 403 identity-window
expect 5 "outside the station's window" "$PLANTCERT" rekey --json
json "says from when, and what becomes of the key" 'all(w in d["error"]["message"] for w in ("renewal window", "due from 20", "stays pending", "plantcert forget", "early-renewal = yes"))'
expect 5 "renew, too" "$PLANTCERT" renew --json
json "says from when, and how at once" 'all(w in d["error"]["message"] for w in ("due from 20", "early-renewal = yes", "enroll --anew")) and "pending" not in d["error"]["message"]'
stop "$STATION"
check "the station is away" enroll --timeout 1s
json "a new key waits, and nothing is due" 'd["unasked"] and d["way"] == "rekey" and not d["due"]'
check "told the same way" "$PLANTCERT" enroll --timeout 1s
said "^The new key waits for its certificate; the installed one is valid until 20" "by both commands"
station
behave for simplereenroll 403 identity-window
check "enroll meanwhile does not fail" enroll
json "with a warning, and the key waits" 'd["early"] and d["way"] == "rekey" and not d["enrolled"] and any("renewal window" in w for w in d["warnings"])'
for cause in "identity-revoked without --replace" "reenrol-superseded newer certificate" "identity-held plantca release"; do
    behave for simplereenroll 403 "${cause%% *}"
    expect 5 "refused: ${cause%% *}" enroll
    json "with what helps there" 'd["error"]["name"] == "station-refused" and "'"${cause#* }"'" in d["error"]["message"]'
done
check "a trust file that is not there, and the certificate is valid" enroll --trust nothing.crt
json "a warning names the setting" 'd["unasked"] and not d["enrolled"] and any("[station] trust" in w and "there is time" in w for w in d["warnings"])'
check "no station is configured" enroll -c nowhere.conf
json "a warning, too" 'd["unasked"] and any("[station] url" in w for w in d["warnings"])'
expect 2 "no longer valid: the trust file is missed" days_later 25 "$PLANTCERT" enroll --json --trust nothing.crt
refused station-trust
expect 2 "nor is it valid without a station" days_later 25 "$PLANTCERT" enroll --json -c nowhere.conf
refused station-url
expect 2 "whoever asks for a rekey is told" "$PLANTCERT" rekey --json --trust nothing.crt
refused station-trust
sed "s|^trust = .*|trust = $WORK/nothing.crt|" plantcert.conf >trustless.conf
expect 2 "doctor, without the trust file" doctor -c trustless.conf
station_is warn "which is a warning"
json "that says what to do" 'any("[station] trust" in f["advice"] for f in d["findings"])'
behave ok
check "enroll goes on with it" enroll
json "as a rekey" 'd["way"] == "rekey" and d["enrolled"]'
tpm2_evictcontrol -T "$SWTPM_TCTI" -Q -C o -c "$(swtpm_handles persistent | grep '^0x8102' | tail -1)" 2>/dev/null
tpm2_evictcontrol -T "$SWTPM_TCTI" -Q -C o -c "$(swtpm_handles persistent | grep '^0x8102' | tail -1)" 2>/dev/null
expect 5 "the key is gone from the TPM" enroll
refused key-absent
expect 5 "status" "$PLANTCERT" status --json
json "says how it begins again" '"--replace" in d["next"] and "enroll --anew" in d["next"]'
code=abcde-fgh23-JKMNP-qrstv-wxyz9
printf '%s\n' "$code" >code
chmod 600 code
behave code "$UUID1:$code"
expect 5 "anew, without a code" enroll --anew
refused station-code
same "$(asked POST)" 1 "which is asked for once"
: >est/log
for malformed in wrong "${code%9}" "${code%9}u" "${code/-/_}" "$code$code" "${code/-/–}"; do
    printf '%s\n' "$malformed" >other && chmod 600 other
    expect 2 "what can be no code" enroll --anew --code-file other
    refused code-form
    json "is told, not shown" "'${malformed:0:5}' not in d['error']['message'] and d['error']['message'].startswith('the code: ')"
done
same "$(asked .)" 0 "and nothing of it is sent"
printf 'zzzzz%s\n' "${code#abcde}" >other
expect 5 "with another code" enroll --anew --code-file other
json "which it does not take" 'd["error"]["name"] == "station-code" and "does not take" in d["error"]["message"] and "zzzzz" not in d["error"]["message"]'
chmod 644 code
expect 3 "a code that others may read" enroll --anew --code-file code
chmod 600 code
: >est/log
check "with the code" enroll --anew --code-fd 3 3<code
json "a new key is certified" 'd["way"] == "anew" and d["enrolled"]'
same "$(asked 'POST .*simpleenroll 401 auth=- client=-') $(asked 'POST .*simpleenroll 200 auth=Basic .* client=-')" "1 1" \
    "the code goes when it is asked for, and no certificate with it"
finish
