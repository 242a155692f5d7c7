#!/usr/bin/env bash
# plantcert config: the settings in effect, and the OpenSSL configuration made of them.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
conf=$WORK/plantcert.conf
export PLANTCERT_CONFIG=$conf
setting() {
    /usr/bin/python3 -c '
import json, sys
rows = json.load(open(sys.argv[1]))["settings"]
print([row[sys.argv[4]] for row in rows if (row["section"], row["key"]) == (sys.argv[2], sys.argv[3])][0])' "$WORK/out" "$@"
}

: >"$conf"
check "an empty file" "$PLANTCERT" --json config
same "$(setting device dir value) $(setting device key value) $(setting device store value) $(setting tpm tcti value)" \
    "/etc/voke rsa:2048 handle device:/dev/tpmrm0" "the defaults"
same "$(setting device plant value)" None "no plant"
printf '[device]\nplant = %s\n[tpm]\ntcti = device:/dev/tpm0\n[station]\nurl = https://station:8443\ntrust = /etc/voke/station.crt\n[renew]\nbefore = 10d\n' \
    "$UUID1" >"$conf"
check "a file" "$PLANTCERT" --json config
same "$(setting tpm tcti value) $(setting tpm tcti origin)" "device:/dev/tpm0 $conf:4" "wins over the default"
check "the environment" env PLANTCERT_TCTI=swtpm:port=1 PLANTCERT_ALLOW_SIMULATOR=yes "$PLANTCERT" --json config
same "$(setting tpm tcti value) $(setting tpm allow-simulator value)" "swtpm:port=1 yes" "wins over the file"
check "an option" env PLANTCERT_TCTI=swtpm:port=1 "$PLANTCERT" --json config --tcti device:/dev/tpm9
same "$(setting tpm tcti value) $(setting tpm tcti origin)" "device:/dev/tpm9 --tcti" "wins over all"
check "the output" "$PLANTCERT" config
cp "$WORK/out" "$WORK/again.conf"
check "is a configuration" "$PLANTCERT" config --json -c "$WORK/again.conf"
same "$(setting tpm tcti value)" device:/dev/tpm0 "with the same settings"

tcti="cmd:a \$b #c \"d\""
check "--openssl" "$PLANTCERT" config --openssl --tcti "$tcti"
cp "$WORK/out" "$WORK/openssl.cnf"
same "$(grep -c '^activate = 1$' "$WORK/openssl.cnf")" 2 "two providers are activated"
said '^default = ' "the default one"
said '^module = /.*/plantcert\.so$' "and ours, by an absolute path"
said '^allow-simulator = no$' "simulators as configured"
# OpenSSL itself reads it: with a section in place of the module, whose values it can print.
cat >"$WORK/read.py" <<'PY'
import ctypes, ctypes.util, sys
crypto = ctypes.CDLL("libcrypto.so.3")
crypto.NCONF_new.restype = ctypes.c_void_p
crypto.NCONF_get_string.restype = ctypes.c_char_p
conf = ctypes.c_void_p(crypto.NCONF_new(None))
line = ctypes.c_long(0)
assert crypto.NCONF_load(conf, sys.argv[1].encode(), ctypes.byref(line)) == 1, "line %d" % line.value
print(crypto.NCONF_get_string(conf, b"plantcert_sect", sys.argv[2].encode()).decode())
PY
same "$(/usr/bin/python3 "$WORK/read.py" "$WORK/openssl.cnf" tcti 2>&1)" "$tcti" "OpenSSL reads the TCTI as it was given"
same "$(grep -c srk-auth-file "$WORK/openssl.cnf")" 0 "no auth value's file, where none is set"
check "--openssl --json" "$PLANTCERT" config --openssl --json
json "holds the text" '"[provider_sect]" in d["openssl"]'
printf '[tpm]\nsrk-auth-file = %s\n' "/etc/plantcert/the \$RK's" >"$WORK/auth.conf"
check "--openssl, the SRK with an auth value" "$PLANTCERT" config --openssl -c "$WORK/auth.conf"
same "$(/usr/bin/python3 "$WORK/read.py" "$WORK/out" srk-auth-file 2>&1)" "/etc/plantcert/the \$RK's" "OpenSSL reads its file's path"

bad() { # DESCRIPTION PATTERN TEXT
    printf '%b' "$3" >"$conf"
    expect 2 "$1" "$PLANTCERT" config && said "$2" "  and says where"
}
bad "unknown section" ":1: " '[ca]\n'
bad "unknown key" ":2: .*frob" '[device]\nfrob = 1\n'
bad "a plant in upper case" ":2: " "[device]\nplant = ${UUID1^^}\n"
bad "a relative folder" ":2: " '[device]\ndir = voke\n'
bad "a group that is not there" ":2: .*group" '[device]\ngroup = no-such-group-here\n'
bad "a key that no TPM makes" ":2: .*rsa:4096" '[device]\nkey = rsa:4096\n'
bad "another store" ":2: " '[device]\nstore = file\n'
bad "handles outside the owner's" ":2: " '[device]\nhandles = 0x81800000-0x81800001\n'
bad "one handle" ":2: .*two" '[device]\nhandles = 0x81020000-0x81020000\n'
bad "the storage root key's handle" ":2: .*storage root" '[device]\nhandles = 0x81000000-0x8100000f\n'
bad "a station without TLS" ":2: " '[station]\nurl = http://station\n'
bad "an IPv6 broker without brackets" ":2: .*HOST:PORT" '[mqtt]\nbroker = ::1\n'
bad "a broker as a URL" ":2: .*HOST:PORT" '[mqtt]\nbroker = mqtts://broker:8883\n'
bad "no TCTI" ":2: .*empty" '[tpm]\ntcti =\n'
bad "neither yes nor no" ":2: " '[tpm]\nallow-simulator = 1\n'
: >"$conf"
expect 2 "a bad value in the environment" env PLANTCERT_ALLOW_SIMULATOR=1 "$PLANTCERT" config
finish
