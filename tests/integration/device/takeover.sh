#!/usr/bin/env bash
# A PLC of before, with plain ca.crt, device.crt and device.key, is taken over while a client runs: no file is missing at any moment, a
# power cut at any rename leaves a set that connects, the way back works, and the old key is destroyed only when it may be.
# takeover.sh [STEP]: every STEP-th cut of each call.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/mosquitto.sh
. "${PC_SOURCE:?}/tests/lib/mosquitto.sh"
# shellcheck source=tests/lib/old_ca.sh
. "${PC_SOURCE:?}/tests/lib/old_ca.sh"
need mosquitto mosquitto_pub strace
plc_start
cd "$WORK" || exit 1
printf '[renew]\nbefore = 5d\n' >>"$PLANTCERT_CONFIG"
install() { "$PLANTCERT" install "$@"; }

openssl_ca ours
old_ca old /CN=Old
old_device old "$UUID1"
old_device old "$UUID2"
cat ours.crt old/ca.crt >both.crt
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout broker.key -subj /CN=localhost -out broker.csr 2>/dev/null
openssl x509 -req -in broker.csr -CA old/ca.crt -CAkey old/ca.key -days 20 -out broker.crt \
    -extfile <(echo subjectAltName=DNS:localhost) 2>/dev/null
mosquitto_start "$WORK/both.crt" "$WORK/broker.crt" "$WORK/broker.key"
"$PLANTCERT" config --openssl | sed "s|^module = .*|module = $PLANTCERT_MODULE|" >openssl.cnf
# publish KEY: a real client with the files of the folder.
publish() {
    OPENSSL_CONF=$WORK/openssl.cnf client mosquitto_pub -h localhost -p "$MOSQUITTO_PORT" -V mqttv5 -q 1 -t "cpi/$UUID1/telemetry" -m x \
        --cafile voke/ca.crt --cert voke/device.crt --key "voke/$1"
}
# old_folder [NAME…]: the folder as it was before, with these plain files only.
old_folder() {
    rm -rf voke
    mkdir voke
    cp -p old/ca.crt "old/devices/$UUID1/device.crt" "old/devices/$UUID1/device.key" voke
    chmod 600 voke/device.key
    local name
    for name in ca.crt device.crt device.key; do
        [ $# = 0 ] || [[ " $* " == *" $name "* ]] || rm "voke/$name"
    done
    [ ! -d pending ] || cp -a pending voke/pending
}
old_serial=$(serial_of "old/devices/$UUID1/device.crt")

old_folder
check "the client of before" publish device.key
"$PLANTCERT" request -q -o plc.csr
cp -a voke/pending pending
check "and with a key pending" publish device.key
openssl_sign ours "$UUID1" plc.csr new.crt
snapshot() { find voke ! -name .lock -printf '%p %y %l %m\n' | sort | cat - voke/ca.crt voke/device.crt | sha256sum; }

# Refused, and nothing is changed.
old_folder
before=$(snapshot)
expect 5 "no trust anchor is given: the old one is not pinned" install new.crt --json
json "by name" 'd["error"]["name"] == "install-anchor"'
openssl_sign ours "$UUID2" plc.csr other.crt
expect 5 "a certificate for another plant" install --ca ours.crt other.crt
same "$(snapshot)" "$before" "the plain files stand"
expect 6 "a check finds nothing of ours" "$PLANTCERT" check --json
json "and the old key" 'd["legacy"] and not d["installed"]'
expect 5 "nothing was taken over yet" "$PLANTCERT" forget --legacy --force --json
json "so the old key stays" 'd["error"]["name"] == "legacy-in-use"'
# refused DESCRIPTION NAME: the folder as it is now is not taken over.
refused() {
    local before
    before=$(snapshot)
    expect 5 "$1" install --ca both.crt new.crt --json
    json "$1: by name" 'd["error"]["name"] == "'"$2"'"'
    same "$(snapshot)" "$before" "$1: nothing changes"
}
cp "old/devices/$UUID2/device.crt" voke/
refused "the old certificate is another plant's" install-cn
echo rubbish >voke/device.crt
refused "the old certificate is none" dir-legacy
old_folder
mv voke/ca.crt elsewhere.crt && ln -s ../elsewhere.crt voke/ca.crt
refused "a link in place of ca.crt" dir-legacy
old_folder
mv voke/device.crt elsewhere.crt && ln -s ../elsewhere.crt voke/device.crt
refused "a link in place of device.crt" dir-legacy
old_folder
mv voke/device.key elsewhere.key && ln -s ../elsewhere.key voke/device.key
refused "a link in place of device.key" dir-legacy
old_folder
head -c 70000 /dev/zero >>voke/ca.crt
expect 5 "an old file that is too long" install --ca both.crt new.crt
old_folder
chmod 777 voke
refused "a folder that anybody may write" dir-owner
for command in keygen request rekey renew confirm rollback forget "forget --force" "forget --legacy --force" check reload; do
    before=$(snapshot)
    # shellcheck disable=SC2086 # words
    expect 5 "$command there" "$PLANTCERT" $command --json
    json "$command there: by name" 'd["error"]["name"] == "dir-owner"'
    same "$(snapshot)" "$before" "$command there: nothing changes"
done

# While a client reads: no file missing, and none but the old and the new bytes.
cat >reader.py <<'PY'
import sys, os
names = ["ca.crt", "device.crt", "device.key"]
seen = {name: set() for name in names}
print("ready", flush=True)
rounds = 0
while not os.path.exists("stop"):
    for name in names:
        with open("voke/" + name, "rb") as file:
            seen[name].add(file.read())
    rounds += 1
new = {"ca.crt": open("both.crt", "rb").read(), "device.crt": open("new.crt", "rb").read()}
old = {name: open("old/" + ("" if name == "ca.crt" else "devices/" + sys.argv[1] + "/") + name, "rb").read() for name in names}
def bare(data):
    return b"".join(part.split(b"-----END CERT")[0] for part in data.split(b"-----BEGIN CERTIFICATE-----")[1:])
for name in names:
    allowed = {old[name]}
    strange = [data for data in seen[name] - allowed if name == "device.key" or bare(data) != bare(new[name])]
    assert not strange, (name, strange)
    assert old[name] in seen[name]
print(rounds)
PY
old_folder
/usr/bin/python3 reader.py "$UUID1" >rounds 2>reader.err &
reader=$!
PIDS+=("$reader")
wait_for 10 grep -q ready rounds
check "taken over while a client reads" install --ca both.crt new.crt --json
touch stop
wait "$reader"
same "$? $(cat reader.err)" "0 " "which met the old or the new files each time ($(tail -n 1 rounds) rounds)"
json "says that the old key is there" 'd["legacy"] and d["generation"] == "0002"'
check "the new client" publish device.tpm
same "$(cmp voke/device.key "old/devices/$UUID1/device.key" && stat -c %a voke/device.key)" 600 "the old key is where it was"
check "status" "$PLANTCERT" status --json
json "says so" 'd["legacy"] and d["previous"] == "0001" and d["state"] == "switched"'
check "a check at boot" "$PLANTCERT" check
check "the same once more" install new.crt
said 'forget --legacy' "tells how to destroy the old key"

# Back, and forward again.
check "back" "$PLANTCERT" rollback --json
same "$(serial_of voke/device.crt)" "$old_serial" "to the old certificate"
check "the client of before connects" publish device.key
check "a check is content with it" "$PLANTCERT" check --json
json "and says what it is" 'd["rolled_back"] and d["legacy"]'
expect 5 "now the old key is in use" "$PLANTCERT" forget --legacy --force --json
json "by name" 'd["error"]["name"] == "legacy-in-use"'
check "forward, with the anchor that was pinned" install new.crt
check "the new client again" publish device.tpm

# The end of the old key.
expect 5 "not before it is confirmed" "$PLANTCERT" forget --legacy --json
json "by name" 'd["error"]["name"] == "legacy-unconfirmed"'
check "confirm" "$PLANTCERT" confirm
ln voke/device.key other-name
expect 5 "not while it has another name" "$PLANTCERT" forget --legacy --json
json "by name" 'd["error"]["name"] == "legacy-linked"'
same "$(cmp other-name "old/devices/$UUID1/device.key")" "" "whose bytes stand"
rm other-name
exec 9<voke/device.key
check "destroy it" "$PLANTCERT" forget --legacy --json
json "counts" 'd["files"] >= 3 and d["handles"] == 0'
same "$(tr -d '\0' <&9 | wc -c)" 0 "its bytes are overwritten"
exec 9<&-
same "$(find voke -name 'device.key' -o -name 0001)" "" "it is gone, and its generation"
check "again" "$PLANTCERT" forget --legacy
check "the new client does not mind" publish device.tpm
check "nor does a check" "$PLANTCERT" check --json
json "no old key any more" 'not d["legacy"]'

# Not confirmed, but forced.
old_folder
check "taken over" install --ca both.crt new.crt
check "forced" "$PLANTCERT" forget --legacy --force
same "$(find voke -name 'device.key' -o -name 0001)" "" "it is gone, and its generation"
expect 5 "and so is the way back" "$PLANTCERT" rollback
check "the new set stands" publish device.tpm

# What was there before us is not ours to remove.
for way in "" rollback confirm; do
    old_folder
    check "taken over" install --ca both.crt new.crt
    [ -z "$way" ] || check "$way" "$PLANTCERT" $way
    [ "$way" != rollback ] || expect 5 "not without a word" "$PLANTCERT" confirm
    [ "$way" != rollback ] || check "it is confirmed" "$PLANTCERT" confirm --unproven --json
    check "status" "$PLANTCERT" status --json
    [ "$way" != rollback ] || json "no advice to destroy the key in use" '"forget" not in d["next"] and d["legacy"]'
    check "everything of ours is forgotten" "$PLANTCERT" forget --force
    for name in ca.crt "devices/$UUID1/device.crt" "devices/$UUID1/device.key"; do
        [ ! -L "voke/${name##*/}" ] && cmp -s "voke/${name##*/}" "old/$name"
        same $? 0 "${name##*/} is the plain file of before"
    done
    same "$(ls voke)" "$(printf 'ca.crt\ndevice.crt\ndevice.key')" "and nothing else is there"
    check "the client of before" publish device.key
    # The key went too.
    "$PLANTCERT" request -q -o plc.csr
    openssl_sign ours "$UUID1" plc.csr new.crt
    rm -rf pending
    cp -a voke/pending pending
done

# Any subset of the files.
for subset in ca.crt device.crt device.key "ca.crt device.crt" "ca.crt device.key" "device.crt device.key"; do
    # shellcheck disable=SC2086 # the names
    old_folder $subset
    check "only $subset" install --ca both.crt new.crt --json
    json "only $subset: the old key is told" 'd["legacy"] == ("device.key" in "'"$subset"'")'
    same "$(serial_of voke/device.crt) $(readlink voke/ca.crt voke/device.crt voke/device.tpm | xargs)" \
        "$(serial_of new.crt) current/ca.crt current/device.crt current/device.tpm" "only $subset: replaced"
    kept=no
    [ "$subset" != "device.crt device.key" ] || kept=yes
    same "$(grep -qr '^legacy = yes' voke/generations && echo yes || echo no)" $kept \
        "only $subset: kept only where one could go back to it"
done

# A power cut at each rename and link: what is there then connects, and the next run finishes.
calls=rename,renameat2,symlink,linkat
old_folder
strace -f -o trace -e trace=$calls "$PLANTCERT" install -q --ca both.crt new.crt
cuts=0
for call in ${calls//,/ }; do
    points=$(grep -cE "^[0-9]+ +$call\(" trace)
    for at in $(seq 1 "${1:-1}" "$points"); do
        old_folder
        strace -f -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$at" "$PLANTCERT" install -q --ca both.crt new.crt \
            >/dev/null 2>&1 || true
        cuts=$((cuts + 1))
        serial=$(serial_of voke/device.crt)
        key=device.key
        [ "$serial" = "$old_serial" ] || key=device.tpm
        publish $key >cut.err 2>&1 || fail "cut at $call $at: the set that stands connects" "$(cat cut.err)" "$(find voke -ls)"
        "$PLANTCERT" check --quiet >/dev/null 2>&1
        [ "$(serial_of voke/device.crt)" = "$serial" ] || fail "cut at $call $at: a check changes no set"
        "$PLANTCERT" install -q --ca both.crt new.crt >cut.err 2>&1 || fail "cut at $call $at: the next run" "$(cat cut.err)"
        [ "$(serial_of voke/device.crt)" = "$(serial_of new.crt)" ] || fail "cut at $call $at: is installed"
        [ "$(find voke -name '.?*' ! -name .lock)" = "" ] || fail "cut at $call $at: is tidy" "$(find voke)"
        { "$PLANTCERT" rollback -q && publish device.key; } 2>cut.err || fail "cut at $call $at: the way back" "$(cat cut.err)"
    done
done
[ "$cuts" -ge 4 ]
same $? 0 "after $cuts cuts a set stood that connects, and the next run finished"
check "nothing is left loaded" swtpm_is_clean
finish
