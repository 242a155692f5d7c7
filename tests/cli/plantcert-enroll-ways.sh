#!/usr/bin/env bash
# plantcert enroll, the less usual ways: bound to the TLS session, RSA and a wrapped key, new trust anchors, a clock that cannot be
# right, two at once, and by a stick.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/cli/est.sh
. "${PC_SOURCE:?}/tests/cli/est.sh"
plc_start
cd "$WORK" || exit 1
est_prepare
sed -i '/^url/a trust = '"$WORK"'/CA.crt' "$PLANTCERT_CONFIG"

# --- another run, while the station lets this one wait ---
# held COMMAND…: begins it; it waits at its second question. let_go: until now.
held() {
    rm -f est/go
    behave for csrattrs held
    "$@" >first.out 2>&1 &
    one=$!
    check "the station lets a run wait" wait_for 10 grep -q held est/log
    behave ok
}
let_go() {
    touch est/go
    check "$1" wait "$one"
}
station
held "$PLANTCERT" enroll --json
check "another run meanwhile" timeout 10 "$PLANTCERT" enroll -q
let_go "the first one"
same "$(grep -c '"way": "needed"' first.out) $(ours) $(find voke/generations -name device.crt | wc -l)" "1 1 1" "then needs nothing: one key, one set"
behave for csrattrs 204
held "$PLANTCERT" renew -q
check "check, meanwhile" timeout 10 "$PLANTCERT" check
let_go "the renewal goes on"
held "$PLANTCERT" rekey -q
check "a rekey meanwhile" timeout 10 "$PLANTCERT" rekey -q
touch est/go
wait "$one"
same "$?" 6 "the first one is to come again"
check "status" "$PLANTCERT" status --json
json "no key is left over" 'd["pending"] is None'
check "forget" "$PLANTCERT" forget --force -q

# --- RSA, wrapped, bound to the session; two at once ---
sed "s|^key .*|key = rsa:2048|; s|^dir .*|dir = $WORK/wrapped|; /^dir/a store = blob" plantcert.conf >wrapped.conf
station TLSv1_2
behave bound
"$PLANTCERT" enroll -c wrapped.conf -q &
one=$!
check "an RSA key, wrapped, bound to a TLS 1.2 session" "$PLANTCERT" enroll -c wrapped.conf --json
json "is certified" 'd["way"] in ("first", "needed")'
check "as is that of a run beside it" wait "$one"
same "$(find wrapped/generations -name device.crt | wc -l)" 1 "both end at one set"
behave bound leave 1
check "a station that closes the connection" "$PLANTCERT" enroll -c wrapped.conf --anew --json
json "gets a request for the next one" 'd["way"] == "anew" and d["enrolled"]'
same "$(asked POST)" 1 "and none over another than it is bound to"
behave successor 20
check "renewed with the wrapped key over TLS 1.2" "$PLANTCERT" renew -c wrapped.conf --json
station
check "and over TLS 1.3" "$PLANTCERT" renew -c wrapped.conf --json
json "by the certificate before" 'd["way"] == "renew" and d["enrolled"]'

# --- trust anchors that come over the network ---
behave ok
cat FOREIGN.crt >>est/cacerts.pem
check "the station names another CA, too" enroll
said "CN=FOREIGN: it is left" "which is left, and told"
same "$(cat voke/ca.crt)" "$(cat CA.crt)" "the anchor is the one given"
openssl req -new -key FOREIGN.key -subj /CN=FOREIGN 2>/dev/null |
    openssl x509 -req -CA CA.crt -CAkey CA.key -set_serial 99 -days 20 -out cross.crt 2>/dev/null \
        -extfile <(printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n')
openssl req -new -key CA.key -subj /CN=FOREIGN 2>/dev/null |
    openssl x509 -req -CA CA.crt -CAkey CA.key -set_serial 98 -days 20 -out other.crt 2>/dev/null \
        -extfile <(printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n')
cat other.crt >>est/cacerts.pem
behave successor 21
check "with a cross-certificate for another key" "$PLANTCERT" renew -q
same "$(cat voke/ca.crt)" "$(cat CA.crt)" "it is left still"
openssl req -new -key FOREIGN.key -subj /CN=FOREIGN 2>/dev/null |
    openssl x509 -req -CA CA.crt -CAkey CA.key -set_serial 97 -days 20 -out issuing.crt 2>/dev/null \
        -extfile <(printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n')
cat issuing.crt >>est/cacerts.pem
check "with its certificate as an issuing CA below the present one" "$PLANTCERT" renew -q
same "$(cat voke/ca.crt)" "$(cat CA.crt)" "it is left: it is no root"
cat cross.crt >>est/cacerts.pem
check "with one for its own" "$PLANTCERT" renew
said "CN=FOREIGN is new: it is taken" "it is taken, and told"
same "$(cat voke/ca.crt)" "$(cat CA.crt FOREIGN.crt)" "beside the present one"
behave foreign
check "then it may sign" "$PLANTCERT" renew -q
behave for cacerts html
check "cacerts that are none" "$PLANTCERT" renew
said "warning: cacerts" "are no reason not to renew"

# --- a clock that cannot be right ---
rm -rf voke && mkdir voke
tpm2_evictcontrol -T "$SWTPM_TCTI" -Q -C o -c "$(swtpm_handles persistent | grep '^0x8102' | tail -1)" 2>/dev/null
behave ok
check "in 1970" days_later -20000 "$PLANTCERT" enroll --json
json "a certificate that is not yet valid is tolerated" 'd["enrolled"] and any("cannot be" in w for w in d["warnings"])'
check "in 1970, with a floor" days_later -20000 "$PLANTCERT" renew -q
expect 5 "in 1970, and the station is another's" days_later -20000 "$PLANTCERT" renew --trust FOREIGN.crt --json
refused station-certificate
expect 5 "in 1970, and the name is another" days_later -20000 "$PLANTCERT" renew --url "https://localhost:$PORT" --json
refused station-certificate
behave successor 29
check "past the anchor's end, where no PLC lives" days_later 31 "$PLANTCERT" renew
said "cannot be" "with a warning"
station_certificate CA 1
station
expect 5 "the station's certificate has ended" days_later 3 "$PLANTCERT" renew --json
refused station-certificate

# --- by a stick ---
stop "$STATION"
rm -rf voke && mkdir voke stick
usb() { "$PLANTCERT" enroll --usb stick --json "$@"; }
expect 6 "nothing on the stick" usb
json "a request is left" 'd["error"]["name"] == "usb-pending" and d["way"] == "first" and len(d["key_sha256"]) == 64'
same "$(ls -A stick)" "$UUID1.csr" "under the plant's name, and nothing else"
same "$(openssl req -in "stick/$UUID1.csr" -noout -verify -subject -nameopt RFC2253 2>/dev/null)" "subject=CN=$UUID1" "for this plant"
before=$(sha256sum "stick/$UUID1.csr")
expect 6 "again" usb
same "$(sha256sum "stick/$UUID1.csr")" "$before" "the request stays"
printf 'half' >"stick/$UUID1.csr"
expect 6 "a request that was cut off" usb
check "is written anew" openssl req -in "stick/$UUID1.csr" -noout -verify
new_csr "$UUID2" other.key other.csr
openssl_sign CA "$UUID2" other.csr "stick/$UUID1.crt"
expect 5 "another plant's certificate" usb
refused install-key
new_csr "$UUID1" other.key other.csr
openssl_sign CA "$UUID1" other.csr "stick/$UUID1.crt"
expect 5 "a certificate for an earlier key" usb
refused install-key
openssl_sign FOREIGN "$UUID1" "stick/$UUID1.csr" "stick/$UUID1.crt"
expect 5 "by another CA" usb
refused chain-anchor
openssl_sign CA "$UUID1" "stick/$UUID1.csr" "stick/$UUID1.crt"
head -c 300 "stick/$UUID1.crt" >half && cp "stick/$UUID1.crt" whole && cp half "stick/$UUID1.crt"
expect 5 "half a certificate" usb
refused chain-parse
check "nothing is installed by all that" test ! -e voke/current
cp whole "stick/$UUID1.crt"
check "the certificate" usb
json "is installed" 'd["enrolled"] and d["way"] == "first"'
check "and its request is off the stick" test ! -e "stick/$UUID1.csr"
check "and later nothing is needed" usb
json "with the stick still there" 'd["way"] == "needed"'
expect 6 "when it is due, the old one on the stick" days_later 15 "$PLANTCERT" enroll --usb stick --json
json "is no answer" 'd["error"]["name"] == "usb-pending" and d["way"] == "renew" and "already" in d["error"]["message"]'
openssl_sign CA "$UUID1" "stick/$UUID1.csr" "stick/$UUID1.crt" 28
check "the new one" days_later 15 "$PLANTCERT" enroll --usb stick --json
json "is" 'd["enrolled"] and d["way"] == "renew"'
expect 1 "no such folder" days_later 27 "$PLANTCERT" enroll --usb gone
check "nothing is left loaded" swtpm_is_clean
finish
