#!/usr/bin/env bash
# plantca sign: one request, one certificate; who gets which; where it goes. Hostile requests are in plantca-sign-refusals.sh.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
new_csr "$UUID1" one.key one.csr
new_csr "$UUID1" two.key two.csr
new_csr "$UUID2" three.key three.csr
sign() { "$PLANTCA" sign "$@"; }
on_record() { "$PLANTCA" list --json | wc -l; }
before=$(on_record)

expect 2 "no request" sign --plant "$UUID1"
expect 2 "no plant" sign one.csr
expect 2 "a plant in upper case" sign --plant "${UUID1^^}" one.csr
expect 2 "the nil UUID" sign --plant 00000000-0000-0000-0000-000000000000 one.csr
expect 2 "another profile" sign --profile root --plant "$UUID1" one.csr
expect 2 "a serial number that is none" sign --plant "$UUID1" --replace xyz one.csr
expect 2 "a reason that is none" sign --plant "$UUID1" --revoke-old anger one.csr
expect 2 "two requests" sign --plant "$UUID1" one.csr two.csr
expect 2 "request and PIN on standard input" sign --plant "$UUID1" --pin-fd 0 -
expect 1 "a request that is not there" sign --plant "$UUID1" none.csr
expect 5 "a folder as request" sign --plant "$UUID1" .
mkfifo pipe
ln -s elsewhere link
mkdir folder
for path in pipe link folder folder/ /dev/null; do
    expect 5 "output to $path" sign --plant "$UUID1" one.csr -o "$path" --json
    json "  is refused by name" 'd["error"]["name"] == "file-kind"'
done
expect 1 "output to a folder that is not there" sign --plant "$UUID1" one.csr -o none/device.crt
expect 5 "a plant that the request does not name" sign --plant "$UUID2" one.csr -o bad.crt
said '^plantca sign: one\.csr: ' "the request's file is named"
same "$(on_record)" "$before" "nothing of this is on record"
same "$(ls bad.crt elsewhere 2>/dev/null)" "" "or on disk"

check "--dry-run, without a token" sign -n --plant "$UUID1" one.csr --json -c "$(without_token)"
json "judges only" 'd["dry_run"] and d["plant"] == "'"$UUID1"'" and d["key"] == "ec:P-256" and len(d["key_sha256"]) == 64'
expect 5 "--dry-run of a bad one" sign -n --plant "$UUID2" one.csr
expect 4 "the token cannot be reached" sign --plant "$UUID1" one.csr -c "$(without_token)"
printf '000000\n' >wrong && chmod 600 wrong
expect 3 "a wrong PIN" sign --plant "$UUID1" one.csr --pin-file wrong
same "$("$PLANTCA" list --current --json | grep -c "$UUID1")" 0 "no certificate of these is current"

check "sign -o" sign --plant "$UUID1" one.csr -o one.crt
same "$(mode one.crt)" 644 "mode 0644"
for word in 'one\.crt' 'SHA-256 +([0-9A-F]{2}:){31}[0-9A-F]{2}$' 'Expires +20[0-9-]+T' \
    "mosquitto_sub -h mqtt.voke.lovinka.com -p 8883 --cafile /etc/voke/ca.crt --cert /etc/voke/device.crt --key /etc/voke/device.tpm -V mqttv5 -i $UUID1 -t cpi/$UUID1/commands"; do
    said "$word" "  says '${word:0:40}'"
done
said "$(openssl x509 -in one.crt -noout -fingerprint -sha256 | sed 's/.*=//')" "the fingerprint is the certificate's"
check "it verifies" openssl verify -x509_strict -CAfile "$WORK/state/ca.crt" one.crt
same "$(openssl x509 -in one.crt -noout -subject -nameopt RFC2253)" "subject=CN=$UUID1" "CN is the plant and nothing else"
serial=$(serial_of one.crt)

check "the same request again" sign --plant "$UUID1" one.csr -o again.crt --json
json "gives the current certificate" 'd["already"] and d["serial"] == "'"$serial"'" and d["file"] == "again.crt"'
same "$(cmp one.crt again.crt 2>&1)" "" "byte for byte"
new_csr "$UUID1" one.key repeated.csr
piped() { sign --plant "$UUID1" - <repeated.csr >piped.crt 2>piped.err && cmp one.crt piped.crt; }
check "another request with the same key, from standard input to standard output" piped
same "$(grep -c '^SHA-256' piped.err)" 1 "the summary is on stderr then"
check "--quiet" sign -q --plant "$UUID1" one.csr
same "$(wc -c <"$WORK/err") $(head -n 1 "$WORK/out")" "0 -----BEGIN CERTIFICATE-----" "leaves the result alone"
check "--json to standard output" sign --plant "$UUID1" one.csr --json
json "holds the chain" 'd["chain_pem"].startswith("-----BEGIN CERTIFICATE-----") and "mosquitto_sub" in d["test_command"]'
full() { sign --plant "$UUID1" one.csr >/dev/full; }
expect 1 "a full disk behind standard output" full

expect 5 "another key" sign --plant "$UUID1" two.csr --json
json "is refused, naming the current serial" 'd["error"]["name"] == "identity-current" and "'"$serial"'" in d["error"]["message"]'
expect 5 "--replace with another serial" sign --plant "$UUID1" two.csr --replace 1234 --json
json "is refused" 'd["error"]["name"] == "identity-replace"'
expect 5 "a renewal outside the window" sign --plant "$UUID1" one.csr --renew --json
json "is refused" 'd["error"]["name"] == "identity-window"'
openssl req -new -key one.key -subj "/CN=$UUID2" -out stolen.csr
expect 5 "the key of another plant" sign --plant "$UUID2" stolen.csr --json
json "is refused" 'd["error"]["name"] == "identity-key"'

check "--replace with the current serial" sign --plant "$UUID1" two.csr --replace "$serial" -o two.crt --json
json "supersedes it" 'd["superseded"] == "'"$serial"'" and d["superseded_until"] and not d["already"] and d["warnings"]'
said 'warning: .*replaces' "and warns"
new_csr "$UUID1" four.key four.csr
check "--replace and --revoke-old" sign --plant "$UUID1" four.csr --replace "$(serial_of two.crt)" --revoke-old keyCompromise \
    -o four.crt --json
json "ends the overlap at once" 'd["superseded"] and d["superseded_until"] is None'
check "the predecessor" "$PLANTCA" show --json "$(serial_of two.crt)"
json "is revoked" 'd["state"] == "revoked" and d["reason"] == "keyCompromise"'
expect 5 "its key" sign --plant "$UUID1" two.csr --replace "$(serial_of four.crt)" --json
json "never gets another" 'd["error"]["name"] == "identity-revoked"'
UUID3=a1b2c3d4-0000-4000-8000-000000000003
new_csr "$UUID3" five.key five.csr
new_csr "$UUID3" six.key six.csr
sed 's/^\[publish\]/[device]\nrenew-window = 800d\n&/' "$PLANTCA_CONFIG" >always.conf
sign -q --plant "$UUID3" five.csr -o five.crt
sign -q -c always.conf --renew --plant "$UUID3" five.csr -o five-renewed.crt
check "--revoke-old soon after a renewal" sign --plant "$UUID3" six.csr --replace "$(serial_of five-renewed.crt)" \
    --revoke-old keyCompromise -o six.crt --json
for old in five five-renewed; do
    expect 2 "$old.crt, of the stolen key" openssl verify -crl_check -CAfile state/ca.crt -CRLfile state/ca.crl "$old.crt"
    said 'certificate revoked' "is on the CRL"
done
check "the successor" openssl verify -crl_check -CAfile state/ca.crt -CRLfile state/ca.crl six.crt

check "another plant" env DEVICE_DAYS=5 "$PLANTCA" sign --plant "$UUID2" three.csr -o three.crt
openssl x509 -in three.crt -noout -checkend $((4 * 86400)) >/dev/null
same "$?" 0 "DEVICE_DAYS holds"
openssl x509 -in three.crt -noout -checkend $((5 * 86400)) >/dev/null
same "$?" 1 "to the day"
expect 5 "inside the renewal window, without --renew" days_later 700 "$PLANTCA" sign --plant "$UUID1" four.csr --json
json "is refused" 'd["error"]["name"] == "identity-window"'
check "with --renew" days_later 700 "$PLANTCA" sign --renew --plant "$UUID1" four.csr -o renewed.crt --json
json "there is a successor for the same key" 'd["superseded"] == "'"$(serial_of four.crt)"'"'
expect 5 "when the CA has expired" days_later 4000 "$PLANTCA" sign --plant "$UUID2" three.csr --renew --json
json "nothing is issued" 'd["error"]["name"] == "issuer-expired"'
UUID4=a1b2c3d4-0000-4000-8000-000000000004
new_csr "$UUID4" seven.key seven.csr
expect 5 "when the clock is behind the CA's beginning" days_later -20000 "$PLANTCA" sign --plant "$UUID4" seven.csr --json
json "nothing is issued either" 'd["error"]["name"] == "issuer-early"'
finish
