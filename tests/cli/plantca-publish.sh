#!/usr/bin/env bash
# plantca publish: the layout that brokers mount, and the command that makes them read it.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
publish() { "$PLANTCA" publish "$@"; }
new_csr "$UUID1" one.key one.csr
"$PLANTCA" sign -q --plant "$UUID1" one.csr -o one.crt
check "where no broker was ever certified" publish -n -c "$(without_token)"
same "$(cat err)" "" "none is missed"
"$PLANTCA" broker -q --new-key broker.key -o broker.crt

grep -v '^dir' "$PLANTCA_CONFIG" >no-dir.conf
expect 2 "no folder configured" publish -c no-dir.conf
check "a relative folder" publish -n --dir published
for dir in state state/sub state/../state; do
    expect 5 "the state folder: $dir" publish --json --dir "$WORK/$dir"
    json "is refused by name" 'd["error"]["name"] == "file-own"'
done
same "$(ls -d state/ca state/sub 2>/dev/null)" "" "nothing is made there"
expect 2 "an address that is none" publish --probe x
said "^plantca publish: --probe: 'x'" "is told of once"
check "publish, without a token" publish --json -c "$(without_token)"
json "tells what was written" 'd["written"] == 4 and d["unchanged"] == 0 and not d["reloaded"] and d["crl_number"] >= 1'
for file in ca/ca.crt ca/ca.crl "devices/$UUID1/device.crt" broker/broker.crt; do
    same "$(mode "published/$file")" 644 "$file, mode 0644"
done
check "the published certificate verifies with the published CRL" openssl verify -crl_check -CAfile published/ca/ca.crt \
    -CRLfile published/ca/ca.crl "published/devices/$UUID1/device.crt"
same "$(find published -name '*.key')" "" "no key is published"
check "again" publish --json
json "writes nothing" 'd["written"] == 0 and d["unchanged"] == 4'
"$PLANTCA" broker -q --cn other.example --new-key other.key -o other.crt
check "when there is a certificate for another broker, too" publish --json
json "its certificate is not taken for ours" 'd["written"] == 0 and d["unchanged"] == 4'
BROKER_CN=third.example check "when there is none for the broker of the configuration" publish --dir "$WORK/third"
said 'no current certificate for the broker third.example' "says so"
expect 1 "and publishes no other's" test -e third/broker/broker.crt
check "--dir" publish --dir "$WORK/other"
said "Published +$WORK/other" "says where"
check "is there" cmp published/ca/ca.crl other/ca/ca.crl
cp published/broker/broker.crt first-broker.crt
"$PLANTCA" broker -q --new-key next.key -o next.crt
sed -n '/BEGIN/,/END/p' next.crt >next.pem
expect 5 "the broker's certificate is for a new key: -n" publish -n --json -c "$(without_token)"
json "is refused by name" 'd["error"]["name"] == "publish-broker-key" and d["broker_left"] and not d["published"]'
new_csr "$UUID2" zero.key zero.csr
"$PLANTCA" sign -q --plant "$UUID2" zero.csr -o zero.crt
expect 5 "and publish" publish
said '--new-broker-key' "says what to do"
said '^Broker +broker.crt left as it was' "and what was done"
check "the broker keeps the one that fits its key" cmp published/broker/broker.crt first-broker.crt
check "all else is published" cmp zero.crt "published/devices/$UUID2/device.crt"
check "--new-broker-key" publish --json --new-broker-key
json "replaces it" 'd["written"] == 1 and not d["broker_left"]'
check "it is there" cmp published/broker/broker.crt next.pem
check "without it, afterwards" publish
"$PLANTCA" revoke -q --plant "$UUID2"
"$PLANTCA" publish -q
echo "reload = echo reloaded >>$WORK/reloads" >>"$PLANTCA_CONFIG"
check "with a reload command" publish --json
json "tells that it ran" 'd["reloaded"]'
same "$(cat reloads)" "reloaded" "it ran once"
sed -i "s|^reload .*|reload = readlink /proc/\$\$/fd/* >$WORK/descriptors; true|" "$PLANTCA_CONFIG"
check "with --pin-fd" publish --json --pin-fd 7 7<"$WORK/pin"
same "$(grep -c pin descriptors)" 0 "the reload command cannot read the PIN"
sed -i 's/^reload .*/reload = exit 7/' "$PLANTCA_CONFIG"

# Links that somebody who may write there has put in the place of folders lead nowhere.
for folder in ca devices broker; do
    mv "published/$folder" "$folder.aside"
    ln -s "$WORK/state" "published/$folder"
    before=$(ls -a state && sha256sum state/ca.*)
    expect 5 "$folder, a link to the state folder" publish --json
    json "is refused" 'd["error"]["name"] == "file-kind"'
    same "$(ls -a state && sha256sum state/ca.*)" "$before" "nothing is written behind it"
    rm "published/$folder"
    mv "$folder.aside" "published/$folder"
done
mkdir behind
cp "published/devices/$UUID1/device.crt" behind/
mv "published/devices/$UUID1" aside
ln -s "$WORK/behind" "published/devices/$UUID1"
"$PLANTCA" revoke -q --plant "$UUID1"
expect 1 "a plant's folder, a link, when it is revoked" publish -q
check "nothing is removed behind it" test -e behind/device.crt
rm "published/devices/$UUID1"
mv aside "published/devices/$UUID1"
expect 1 "a reload command that fails" publish --json
json "is an error, and all that was done is told" 'd["error"]["code"] == 1 and d["published"] and not d["reloaded"]'
expect 1 "a reload command that fails, for people" publish
said "^Reload +exit 7: FAILED" "leaves them the summary"
check "the new CRL is published all the same" cmp published/ca/ca.crl state/ca.crl
sed -i '/^reload /d' "$PLANTCA_CONFIG"

new_csr "$UUID2" two.key two.csr
"$PLANTCA" sign -q --plant "$UUID2" two.csr -o two.crt
echo 135791 >wrong
chmod 600 wrong
expect 3 "a revocation that no CRL could be made for" "$PLANTCA" revoke --plant "$UUID2" --pin-file "$WORK/wrong"
expect 4 "is not passed over by publish, without the token" publish --json -c "$(without_token)"
check "and with it" publish --json
json "is on a new CRL" 'd["crl_number"] > 2'
expect 2 "which brokers read" openssl verify -crl_check -CAfile published/ca/ca.crt -CRLfile published/ca/ca.crl two.crt
said 'certificate revoked' "as a revocation"

check "publish -n, without a token" publish -n --json -c "$(without_token)"
json "finds nothing to change" 'd["dry_run"] and d["written"] == 0 and d["preflight"]["judged"] == 0'
new_csr "$UUID2" five.key five.csr
"$PLANTCA" sign -q --plant "$UUID2" five.csr -o five.crt
"$PLANTCA" publish -q
for junk in '' rubbish; do
    printf '%s' "$junk" >published/ca/ca.crl
    check "an old CRL that is ${junk:-empty} does not stand in the way" publish --json
    json "it is replaced" 'd["written"] == 1 and d["preflight"]["judged"] == 1'
done
rm published/ca/ca.crl published/ca/ca.crt
check "nor do files that are missing" publish
"$PLANTCA" hold -q --plant "$UUID2"
unsigning "$PLANTCA" release -q --plant "$UUID2" 2>/dev/null
expect 5 "a CRL that lists what nobody has revoked" publish -n --json -c "$(without_token)"
json "is not for brokers" 'd["error"]["name"] == "publish-preflight" and [(o["serial"], o["cn"]) for o in d["preflight"]["shut_out"]] == [("'"$(serial_of five.crt)"'", "'"$UUID2"'")]'
echo 12:xyz >none.list
expect 2 "--retire of what is no serial" publish -n --retire none.list
expect 1 "--retire of a file that is not there" publish -n --retire none.txt
check "--retire allows it" publish -n --json --retire "$(serial_of five.crt)"
json "and counts it" 'd["preflight"]["retired"] == 1 and d["preflight"]["shut_out"] == []'
printf '01\n%s\n' "$(serial_of five.crt)" >retired.txt
check "--retire of a file" publish -n --retire retired.txt
said 'Retired +1' "tells people"
check "publish itself makes the CRL that is right" publish --json
json "and shuts nobody out" 'd["preflight"]["retired"] == 0 and d["preflight"]["judged"] == 1'
check "as brokers see it" openssl verify -crl_check -CAfile published/ca/ca.crt -CRLfile published/ca/ca.crl five.crt
"$PLANTCA" revoke -q --plant "$UUID2"
check "when the CRL has lapsed" days_later 31 "$PLANTCA" publish --json
json "publishes a new one" 'd["written"] == 1 and d["removed"] == 1'
expect 5 "one that a clock ahead of time has made" publish --json
json "is not published, as brokers would refuse everyone" 'd["error"]["name"] == "publish-preflight" and "valid only from" in d["error"]["message"]'
new_csr "$UUID2" three.key three.csr
new_csr "$UUID2" four.key four.csr
days_later 32 "$PLANTCA" sign -q --plant "$UUID2" three.csr -o three.crt
days_later 32 "$PLANTCA" sign -q --plant "$UUID2" --replace "$(serial_of three.crt)" four.csr -o four.crt 2>/dev/null
days_later 32 "$PLANTCA" publish -q
check "publish within an overlap" openssl verify -attime $(($(date +%s) + 32 * 86400)) -crl_check -CAfile published/ca/ca.crt -CRLfile published/ca/ca.crl three.crt
check "publish after its end" days_later 47 "$PLANTCA" publish --json
json "makes a new CRL" 'd["written"] == 1'
check "which lists what was superseded" grep -qi "$(serial_of three.crt)" <(openssl crl -in published/ca/ca.crl -noout -text)
finish
