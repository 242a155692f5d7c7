#!/usr/bin/env bash
# plantca config: which setting is in effect and where it came from; strict files.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
conf=$WORK/plantca.conf
export PLANTCA_CONFIG=$conf

# setting SECTION KEY FIELD: of the JSON in $WORK/out.
setting() {
    /usr/bin/python3 -c '
import json, sys
rows = json.load(open(sys.argv[1]))["settings"]
print([row[sys.argv[4]] for row in rows if (row["section"], row["key"]) == (sys.argv[2], sys.argv[3])][0])' "$WORK/out" "$@"
}

: >"$conf"
check "an empty file" "$PLANTCA" --json config
json "all settings have a value or none, and an origin" \
    'len(d["settings"]) > 20 and all(set(row) == {"section", "key", "value", "origin"} and row["origin"] for row in d["settings"])'
same "$(setting ca subject value)" "/C=CZ/ST=Prague/O=CPI IoT Platform/CN=CPI Root CA" "today's subject is the default"
same "$(setting ca days value) $(setting device days value) $(setting broker cn value)" \
    "3650 730 mqtt.voke.lovinka.com" "so are validity and broker"
same "$(setting broker san value)" "DNS:mqtt.voke.lovinka.com, DNS:localhost, DNS:cpi-mosquitto, IP:127.0.0.1" "and its names"
same "$(setting ca days origin)" "default" "a default is called that"

printf '[ca]\ndays = 100\n[station]\nlisten = [::]:8443\nname = station.example\nearly-renewal = yes\n' >"$conf"
check "a file" "$PLANTCA" --json config
same "$(setting ca days value) $(setting ca days origin)" "100 $conf:2" "the file wins over the default, and is named with its line"
check "today's environment" env CA_SUBJECT=/CN=Other CA_DAYS=200 DEVICE_DAYS=300 BROKER_CN=mqtt.example "$PLANTCA" --json config
same "$(setting ca subject value) $(setting ca days value) $(setting device days value) $(setting broker cn value)" \
    "/CN=Other 200 300 mqtt.example" "wins over the file"
same "$(setting ca days origin)" "environment CA_DAYS" "and is named"
expect 2 "a bad value in the environment" env CA_DAYS=never "$PLANTCA" config
said 'CA_DAYS' "names the variable"
check "--config wins over PLANTCA_CONFIG" env PLANTCA_CONFIG=/nowhere "$PLANTCA" config -c "$conf" --json
same "$(setting ca days value)" 100 "and is read"

check "the output" "$PLANTCA" config
cp "$WORK/out" "$WORK/again.conf"
check "is a configuration" "$PLANTCA" config --json -c "$WORK/again.conf"
same "$(setting ca days value)" 100 "with the same settings"

bad() { # DESCRIPTION PATTERN TEXT
    printf '%b' "$3" >"$conf"
    expect 2 "$1" "$PLANTCA" config && said "$2" "  and says where"
}
bad "unknown section" ":1: .*frob" '[frob]\n'
bad "unknown key" ":2: .*frob" '[ca]\nfrob = 1\n'
bad "key twice" ":3: " '[ca]\ndays = 1\ndays = 2\n'
bad "no key = value" ":2: " '[ca]\ndays\n'
bad "days 0" ":2: .*days" '[ca]\ndays = 0\n'
bad "days with a unit" ":2: " '[ca]\ndays = 10y\n'
bad "days empty" ":2: .*days" '[ca]\ndays =\n'
bad "a relative state folder" ":2: .*absolute" '[ca]\nstate = state\n'
bad "an empty state folder" ":2: .*empty" '[ca]\nstate = \n'
bad "a key too short" ":2: .*rsa:2048" '[ca]\nkey = rsa:2048\n'
bad "a subject that is no name" ":2: " '[ca]\nsubject = CPI Root CA\n'
bad "a duration that is none" ":2: " '[device]\noverlap = soon\n'
bad "a broker name that is none" ":2: " '[broker]\ncn = a b\n'
bad "a SAN of an unknown kind" ":2: " '[broker]\nsan = MAIL:a@b\n'
bad "a PIN in a URI" ":2: .*PIN" '[token]\nuri = pkcs11:token=x?pin-value=1234\n'
same "$(grep -c 1234 "$WORK/err")" 0 "which is not repeated"
bad "a PIN in a URI, in capitals" ":2: .*PIN" '[token]\nuri = pkcs11:token=x?PIN-VALUE=1234\n'
bad "a PIN source in a URI" ":2: .*PIN" '[token]\nuri = pkcs11:token=x?pin-source=/etc/pin\n'
bad "a password in the ledger's address" ":2: .*password" '[ledger]\nurl = postgresql://ca:secret@db/plants\n'
same "$(grep -c secret "$WORK/err")" 0 "which is not repeated, either"
bad "another ledger" ":2: " '[ledger]\nurl = mysql://db\n'
bad "an address to listen at that is none" ":2: " '[station]\nlisten = 8443\n'
bad "neither yes nor no" ":2: " '[station]\nearly-renewal = maybe\n'
expect 2 "a folder as configuration" "$PLANTCA" config -c "$WORK"
head -c 70000 /dev/zero | tr '\0' '#' >"$conf"
expect 2 "a configuration that is too long" "$PLANTCA" config
finish
