#!/usr/bin/env bash
# What a PLC can lose: its disk (the key is adopted), its TPM's contents, its whole TPM. With the real CA, and a real broker that says who
# may still connect. lost.sh handle|blob
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/mosquitto.sh
. "${PC_SOURCE:?}/tests/lib/mosquitto.sh"
[ -x /usr/sbin/mosquitto ] && PATH=$PATH:/usr/sbin
need mosquitto mosquitto_pub tpm2_clear
store=$1
plc_start
ca_start
cd "$WORK" || exit 1
sed -i "s/^key .*/&\nstore = $store/" "$PLANTCERT_CONFIG"
files() { find voke/current/ -type f ! -name record -print0 | sort -z | xargs -0 sha256sum; }

# connects: a client of the PLC, with the installed files as they are.
connects() {
    "$PLANTCERT" config --openssl | sed "s|^module = .*|module = $PLANTCERT_MODULE|" >client.cnf
    OPENSSL_CONF=$WORK/client.cnf client timeout 30 mosquitto_pub -h localhost -p "$MOSQUITTO_PORT" -V mqttv5 -q 1 --cafile voke/ca.crt \
        --cert voke/device.crt --key voke/device.tpm -i "$UUID1" -t "cpi/$UUID1/status" -m here
}
# enrol [OPTION…]: from the request to the installed set; options are plantca sign's.
enrol() {
    "$PLANTCERT" request -q -o plc.csr && "$PLANTCA" sign -q --plant "$UUID1" "$@" plc.csr -o plc.crt && "$PLANTCERT" install -q ${ANCHOR:+--ca "$ANCHOR"} plc.crt
}

"$PLANTCA" broker -q --new-key broker.key -o broker.crt
"$PLANTCA" publish >/dev/null
mosquitto_start "$WORK/published/ca/ca.crt" "$WORK/broker.crt" "$WORK/broker.key" "$WORK/published/ca/ca.crl" || exit 1
ANCHOR=published/ca/ca.crt check "a PLC" enrol
check "connects" connects
first=$(serial_of voke/device.crt)

# Its disk: the certificate is known to the CA, a key persists in the TPM.
if [ "$store" = handle ]; then
    rm -rf voke
    "$PLANTCERT" keygen -q
    expect 5 "a key that was made meanwhile" "$PLANTCERT" keygen --json --adopt 0x81020000 plc.crt
    json "is in the way" 'd["error"]["name"] == "key-pending"'
    expect 5 "and is not the certificate's" "$PLANTCERT" keygen --json --adopt 0x81020001 plc.crt
    json "by name" 'd["error"]["name"] == "adopt-key"'
    "$PLANTCERT" forget -q
    expect 5 "a handle with nothing at it" "$PLANTCERT" keygen --json --adopt 0x81020001 plc.crt
    json "by name" 'd["error"]["name"] == "handle-free"'
    expect 5 "the SRK" "$PLANTCERT" keygen --json --adopt 0x81000001 plc.crt
    json "is no device key" 'd["error"]["name"] == "handle-foreign"'
    sed "s/^plant = .*/plant = $UUID2/" "$PLANTCERT_CONFIG" >other.conf
    expect 5 "another plant's PLC" "$PLANTCERT" keygen -c other.conf --json --adopt 0x81020000 plc.crt
    json "by name" 'd["error"]["name"] == "install-cn"'
    expect 2 "no certificate" "$PLANTCERT" keygen --adopt 0x81020000
    expect 2 "no handle" "$PLANTCERT" keygen --adopt 81020000 plc.crt
    expect 2 "a certificate without --adopt" "$PLANTCERT" keygen plc.crt
    check "the key is taken back" "$PLANTCERT" keygen --json --adopt 0x81020000 plc.crt
    json "as the pending one" 'd["made"] and d["pending"]["handle"] == "0x81020000"'
    check "again" "$PLANTCERT" keygen --json --adopt 0x81020000 plc.crt
    json "is nothing new" 'not d["made"]'
    check "the same certificate" "$PLANTCERT" install -q --ca published/ca/ca.crt plc.crt
    check "is that of before" test "$(serial_of voke/device.crt)" = "$first"
    check "and the PLC connects" connects
    same "$(swtpm_handles persistent | grep -c '^0x8102')" 1 "with the one key"
fi

# What stood in the TPM.
lose() {
    local what=$1 before serial
    before=$(files)
    serial=$(serial_of voke/device.crt)
    expect 5 "$what: status" "$PLANTCERT" status --json
    json "tells, and what to do" 'd["error"]["name"] in ("key-absent", "key-name") and "request" in d["error"]["message"] and "request" in d["next"] and d["installed"]'
    expect 5 "the check at boot" "$PLANTCERT" check --json
    json "too" 'd["error"]["name"] in ("key-absent", "key-name") and "request" in d["next"]'
    expect 5 "renew" "$PLANTCERT" renew --json
    json "cannot" 'd["error"]["name"] in ("key-absent", "key-name") and "--replace" in d["error"]["message"]'
    expect 5 "confirm" "$PLANTCERT" confirm
    check "a key starts afresh" "$PLANTCERT" keygen --json
    json "and is a new one" 'd["made"]'
    check "a request for it" "$PLANTCERT" rekey --json -o plc.csr
    json "is no second one" 'not d["made"]'
    same "$(files)" "$before" "the installed files are untouched"
    expect 5 "the CA wants to be told" "$PLANTCA" sign -q --plant "$UUID1" plc.csr -o plc.crt
    check "that the old one is replaced" enrol --replace "$serial"
    check "status" "$PLANTCERT" status --json
    json "has the new set" 'd["state"] == "switched" and d["key_check"]["code"] == 0'
    check "the PLC connects" connects
    expect 5 "no way back" "$PLANTCERT" rollback --json
    json "to a key that is gone" 'd["error"]["name"] in ("key-absent", "key-name")'
    check "confirmed" "$PLANTCERT" confirm --mqtt "localhost:$MOSQUITTO_PORT" --json
    json "by the broker" 'd["proven"] and d["files"] > 0'
    check "nothing is left loaded" swtpm_is_clean
}
check "TPM2_Clear" tpm2_clear -T "$SWTPM_TCTI"
lose "a TPM that was cleared"
# The reload command and the rest do not see another TPM: a board was replaced.
swtpm_stop
swtpm_start another
sed -i "s|^tcti .*|tcti = $SWTPM_TCTI|" "$PLANTCERT_CONFIG"
lose "another TPM"
finish
