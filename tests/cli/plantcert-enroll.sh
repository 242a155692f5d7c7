#!/usr/bin/env bash
# plantcert enroll: what the PLC needs, from a station that may also lie, be away, or not have decided yet.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
export http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1

# station_certificate CA [OPTION…]: the station's own, for 127.0.0.1.
station_certificate() {
    local ca=$1
    shift
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout est/station.key -out est/station.crt \
        -CA "$ca.crt" -CAkey "$ca.key" -subj /CN=station -days 29 -addext basicConstraints=critical,CA:FALSE \
        -addext subjectAltName=IP:127.0.0.1 -addext extendedKeyUsage=serverAuth -addext keyUsage=critical,digitalSignature "$@" 2>/dev/null
}
# station [MAXVERSION]: (re)starts it.
station() {
    [ -z "${STATION:-}" ] || stop "$STATION"
    "$PC_SOURCE/tests/lib/est.py" "$WORK/est" "$PORT" "${1:-TLSv1_3}" >est/out 2>est/err &
    STATION=$!
    PIDS+=("$STATION")
    wait_for 10 grep -q ready est/out || fail "the station starts" "$(cat est/err)"
}
behave() { echo "$*" >est/mode; : >est/log; }
enroll() { "$PLANTCERT" enroll --json "$@"; }
refused() { json "is refused by name" "d[\"error\"][\"name\"] == \"$1\""; }
asked() { grep -cE "$1" est/log; }
key_of() { openssl "$1" -in "$2" -noout -pubkey; }
ours() { swtpm_handles persistent | grep -c '^0x8102'; }

mkdir est
openssl_ca CA
openssl_ca FOREIGN
cp CA.crt CA.key FOREIGN.crt FOREIGN.key est/
cp CA.crt est/cacerts.pem
station_certificate CA
PORT=$(free_port)
printf '[station]\nurl = https://127.0.0.1:%s\ntimeout = 1s\n[renew]\nbefore = 10d\n' "$PORT" >>"$PLANTCERT_CONFIG"
behave ok

# --- nothing is installed ---
expect 2 "no anchor for the station" enroll
refused station-trust
sed -i '/^url/a trust = '"$WORK"'/CA.crt' "$PLANTCERT_CONFIG"
expect 4 "no station" enroll
refused station-unreachable
check "a key waits, or none was made" test ! -e voke/current
station
expect 5 "another CA stands behind the station" enroll --trust FOREIGN.crt
refused station-certificate
expect 5 "another host is named" enroll --url "https://localhost:$PORT"
refused station-certificate
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
json "with what to do" 'd["error"]["name"] == "station-refused" or "plantca allow" in d["error"]["message"]'
for fault in close slow "503 3600" "for=cacerts=truncated"; do
    behave "${fault//=/ }"
    expect 4 "the station fails: $fault" enroll
    refused station-unreachable
done
behave 403
expect 5 "what the station says" enroll
json "is shown as text alone" '"not now?[2J" in d["error"]["message"]'
behave for simpleenroll 202 999999999
expect 6 "it has not decided" enroll --wait
json "which an absurd Retry-After does not change" 'd["error"]["name"] == "station-pending" and d["retry_after"] == 999999999 and len(d["key_sha256"]) == 64'
same "$(asked POST)" 1 "and there was no time to ask again"
behave for simpleenroll 202 1
"$PLANTCERT" enroll --wait --timeout 20s -q &
waiting=$!
check "it has not decided, and the PLC waits" wait_for 10 grep -q 'POST.* 202' est/log
echo ok >est/mode
check "until it has" wait "$waiting"
same "$(asked 'POST .*simpleenroll')" 2 "asked twice"
same "$(openssl x509 -in voke/device.crt -noout -subject -nameopt RFC2253)" "subject=CN=$UUID1" "and installed"
same "$(cat voke/ca.crt)" "$(cat CA.crt)" "with the anchor that was given"
same "$(ours)" 1 "one key in the TPM"
same "$(grep -c 'auth=-' est/log)" "$(wc -l <est/log)" "no code was sent"

# --- a valid set ---
first=$(serial_of voke/device.crt)
stop "$STATION"
check "a valid set: no network" enroll
json "nothing was needed" 'd["way"] == "needed" and not d["enrolled"] and not d["due"]'
expect 4 "renew asks at once, and the station is away" "$PLANTCERT" renew --json
check "unless it is not due" "$PLANTCERT" renew --if-due
check "due, and the station is away" days_later 15 "$PLANTCERT" enroll --json
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
check "expired: tried all the same" days_later 25 "$PLANTCERT" enroll --json --timeout 5s
json "renewed" 'd["way"] == "renew" and d["enrolled"]'
finish
