#!/usr/bin/env bash
# plantcert doctor, on this side of the broker: each step's faults, by name, with exit code and something to do. The broker's states are
# tests/integration/mqtt/doctor.sh's.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
RECORDER="$PC_BUILD/tests/integration/tpm/tcti_recorder.so"
plc_start
need "$RECORDER" "$PLANTCERT_MODULE"
cd "$WORK" || exit 1
unset OPENSSL_CONF

openssl_conf() { # [SED-SCRIPT]: what config --openssl prints, with the module of this build
    "$PLANTCERT" config --openssl | sed "s|^module *=.*|module = $PLANTCERT_MODULE|; ${1:-}"
}
doctor() { "$PLANTCERT" doctor --openssl-conf "$WORK/openssl.cnf" "$@"; }
# finds CODE NAME DESCRIPTION [COMMAND…]: the doctor ends with this code at a cause of this name, and says what to do.
finds() {
    local code=$1 name=$2 what=$3
    shift 3
    [ $# -gt 0 ] || set -- doctor
    expect "$code" "$what" "$@" --json || return
    json "is $name" '(d["cause"]["name"], d["error"]["name"], d["cause"]["code"], d["sound"]) == ("'"$name"'", "'"$name"'", '"$code"', False)'
    json "says what to do" 'd["cause"]["advice"] and [f for f in d["findings"] if f["verdict"] == "fail"] == [d["cause"]]'
}
# step NAME VERDICT DESCRIPTION: what the last run said of one step.
step() { json "$3" '"'"$2"'" in [f["verdict"] for f in d["findings"] if f["step"] == "'"$1"'"]'; }

# A TPM that another program holds: the doctor's patience with it runs beside the rest.
tcti=$SWTPM_TCTI port=$SWTPM_PORT
swtpm_start held
held=$SWTPM_TCTI
/usr/bin/python3 -c 'import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("held", flush=True)
time.sleep(120)' "$SWTPM_PORT" >holder &
PIDS+=($!)
wait_for 10 test -s holder
SWTPM_TCTI=$tcti SWTPM_PORT=$port
(
    start=$(date +%s)
    "$PLANTCERT" doctor --json --tcti "$held" >held.out 2>/dev/null
    echo "$? $(($(date +%s) - start))" >held.end
) &
held_pid=$!

# --- nothing yet ---
openssl_conf >openssl.cnf
finds 6 not-installed "nothing installed"
step tpm ok "the TPM was found all the same"
step provider skipped "what is behind the cause is not looked at"
expect 2 "--publish without a broker" doctor --publish
expect 2 "no broker" doctor --mqtt '::1'

# --- a sound PLC ---
"$PLANTCERT" request -q -o plc.csr
openssl_ca ours
openssl_sign ours "$UUID1" plc.csr one.crt 20
"$PLANTCERT" install -q --ca ours.crt one.crt
check "a sound PLC" doctor
said '^ok +provider ' "has its line for each step"
said '^- +broker .*not asked' "and none of a broker that was not named"
check "as JSON" doctor --json
json "with nothing to blame" 'd["sound"] and d["cause"] is None and [f["step"] for f in d["findings"]] == ["tpm", "lockout", "key", "files", "clock", "chain",
    "provider", "broker", "tls", "broker-certificate", "certificate", "connack", "puback"]'
step chain warn "the certificate is due"
same "$(find voke -newer one.crt -name '.*' | grep -c tmp)" 0 "and it leaves nothing behind"

# --- the TPM ---
finds 4 tpm-missing "no TPM there" doctor --tcti "swtpm:host=127.0.0.1,port=$(free_port)"
finds 2 tpm-simulator "a simulator that is not allowed" env PLANTCERT_ALLOW_SIMULATOR=no "$PLANTCERT" doctor
finds 4 tpm-not-started "a TPM that was not started" doctor --tcti "$RECORDER:fail=17a@0=100|$SWTPM_TCTI"
finds 3 tpm-lockout "a key that the TPM has locked" doctor --tcti "$RECORDER:fail=15d@0=921|$SWTPM_TCTI"
tpm2_dictionarylockout -T "$SWTPM_TCTI" -s -n 1 -t 7200 -l 0
tpm2_createprimary -T "$SWTPM_TCTI" -C o -p right -c locked.ctx >/dev/null
tpm2_create -T "$SWTPM_TCTI" -C locked.ctx -P wrong -u none.pub -r none.priv >/dev/null 2>&1
tpm2_flushcontext -T "$SWTPM_TCTI" -t && tpm2_flushcontext -T "$SWTPM_TCTI" -l
check "a TPM that others have locked" doctor --json
step lockout warn "is told of"
json "with the time to wait" 'any("7200 s" in f["text"] for f in d["findings"])'
step key ok "and our key signs all the same"
tpm2_dictionarylockout -T "$SWTPM_TCTI" -c

# --- the key ---
cp voke/current/device.tpm device.tpm
"$PLANTCERT" keygen -q
cp voke/pending/key.tpm voke/current/device.tpm
finds 5 key-certificate "another key than the certificate's"
cp device.tpm voke/current/device.tpm
"$PLANTCERT" forget -q
handle=$(swtpm_handles persistent | grep '^0x8102')
echo nonsense >voke/current/device.tpm
finds 5 state-damaged "a key file that is none"
cp device.tpm voke/current/device.tpm

# --- files ---
mv voke/ca.crt ca.link
finds 5 files-missing "a link that is missing"
cp voke/current/ca.crt voke/ca.crt
finds 5 files-foreign "a file in the place of a link"
rm voke/ca.crt && mv ca.link voke/ca.crt
chmod 0640 voke/current/device.crt
finds 2 files-mode "a certificate that clients may not read"
chmod 0644 voke/current/device.crt
chmod 0777 voke
check "a folder that all may write" doctor --json
step files warn "is warned of"
chmod 0755 voke
: >voke/device.key
check "a device.key of before" doctor --json
step files warn "is warned of, too"
rm voke/device.key
if [ "$(id -u)" = 0 ]; then
    sed "s|^\[device\]|&\ngroup = daemon|" "$PLANTCERT_CONFIG" >group.conf
    finds 2 files-group "a key that the group may not read" doctor -c group.conf
    json "says which group and which file" '"daemon" in d["cause"]["text"] and "chgrp daemon" in d["cause"]["advice"]'
    chgrp daemon voke/current/device.tpm && chmod 0640 voke/current/device.tpm
    check "that it may" doctor -c group.conf
    chmod 600 openssl.cnf
    check "a configuration that the client may not read" doctor -c group.conf
    said 'chmod 0644 .*/openssl.cnf' "is told of"
    chmod 644 openssl.cnf
    chmod 0700 voke/generations
    finds 2 files-folder "a folder that the group may not pass" doctor -c group.conf
    chgrp daemon voke/generations && chmod 0710 voke/generations
    check "that it may, by its own bit" doctor -c group.conf
    chgrp root voke/generations voke/current/device.tpm && chmod 0755 voke/generations && chmod 0600 voke/current/device.tpm
else
    skip "the group" "needs root"
fi

# --- clock and chain ---
finds 5 clock-wrong "a clock past the CA's end" days_later 40 "$PLANTCERT" doctor
finds 5 clock-wrong "a clock of 1970" days_later -20000 "$PLANTCERT" doctor
json "names the time that is proven" '"later than 20" in d["cause"]["text"]'
finds 5 chain-expired "an expired certificate" days_later 25 "$PLANTCERT" doctor
cp voke/clock clock.kept
later=$(($(date +%s) + 86400))
printf '[clock]\nfloor = %s\nseconds = %s\n' "$(date -u -d @$later +%Y-%m-%dT%H:%M:%SZ)" $later >voke/clock
check "a clock behind what is proven" doctor --json
step clock warn "is warned of"
cp clock.kept voke/clock
sed "s|^plant .*|plant = $UUID2|" "$PLANTCERT_CONFIG" >other.conf
finds 5 install-cn "another plant's configuration" doctor -c other.conf
openssl_ca foreign
cp voke/current/ca.crt ca.kept
cp foreign.crt voke/current/ca.crt
finds 5 chain-anchor "an anchor that did not issue the certificate"
cp ca.kept voke/current/ca.crt

# --- the provider ---
provider() { # CODE NAME DESCRIPTION: with what is in other.cnf
    finds "$1" "$2" "$3" "$PLANTCERT" doctor --openssl-conf "$WORK/other.cnf"
}
rm -f other.cnf
provider 2 openssl-conf "no such configuration"
printf '[a\n' >other.cnf
provider 2 openssl-conf "a configuration that is none"
printf 'openssl_conf = i\n[i]\n' >other.cnf
provider 2 provider-missing "a configuration without the provider"
openssl_conf 's|^module = .*|module = /no/such/plantcert.so|' >other.cnf
provider 2 provider-module "a module that is not there"
openssl_conf 's|^module = .*|module = /etc/hostname|' >other.cnf
provider 2 provider-load "a module that is none"
openssl_conf "/plantcert_sect\]/,\$s|^activate = 1||" >other.cnf
provider 2 provider-load "a provider that is not activated"
openssl_conf '/^default = /d' >other.cnf
provider 2 provider-default "a configuration that leaves out OpenSSL's own"
openssl_conf "s|^tcti = .*|tcti = swtpm:host=127.0.0.1,port=$(free_port)|" >other.cnf
provider 2 provider-tcti "another TPM"
openssl_conf 's|^allow-simulator = .*|allow-simulator = no|' >other.cnf
provider 2 provider-key "a simulator that the provider is not allowed"
openssl_conf "s|^tcti = .*|tcti = swtpm:port=$SWTPM_PORT,host=127.0.0.1|" >other.cnf
check "the same TPM by other words" "$PLANTCERT" doctor --json --openssl-conf other.cnf
step provider warn "is warned of"
OPENSSL_CONF=$WORK/openssl.cnf check "the configuration of the environment" "$PLANTCERT" doctor --json
json "is the one in force" 'any("openssl.cnf" in f["text"] for f in d["findings"] if f["step"] == "provider")'
openssl_conf '/^default = /d' >other.cnf
OPENSSL_CONF=$WORK/other.cnf finds 2 provider-default "one that would leave us without ciphers does not stop us" "$PLANTCERT" doctor

# --- a broker that is not there ---
finds 4 broker-refused "nobody listens" doctor --mqtt "localhost:$(free_port)"
finds 4 broker-name "no such host" doctor --mqtt nowhere.invalid

# --- what is left ---
tpm2_evictcontrol -T "$SWTPM_TCTI" -C o -c "$handle" >/dev/null
finds 5 key-absent "the key is gone from the TPM"
check "nothing is left in the TPM" swtpm_is_clean
wait "$held_pid"
read -r code seconds <held.end
same "$code $([ "$seconds" -le 20 ] && echo bounded)" "4 bounded" "a TPM that another program holds, in bounded time"
cp held.out out
json "is tpm-timeout" 'd["cause"]["name"] == "tpm-timeout"'
finish
