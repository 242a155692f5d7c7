#!/usr/bin/env bash
# plantca crl: a new one each time, in the state folder and where it is asked for.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
crl() { "$PLANTCA" crl "$@"; }
number() { printf '%d\n' "$(openssl crl -in "$1" -noout -crlnumber | sed 's/.*=//')"; }
first=$(number state/ca.crl)

expect 4 "the token cannot be reached" crl -c "$(without_token)"
expect 5 "output to a folder" crl -o state
expect 2 "an operand" crl ca.crl
same "$(number state/ca.crl)" "$first" "nothing of this made a CRL"
check "crl" crl --json
json "tells the new one" 'd["crl"]["number"] == '"$((first + 1))"' and d["crl"]["entries"] == 0 and d["crl"]["path"].endswith("ca.crl")'
same "$(number state/ca.crl)" $((first + 1)) "it is in the state folder"
check "-o" crl -o copy.crl
said 'copy\.crl' "says where"
same "$(cmp copy.crl state/ca.crl 2>&1) $(mode copy.crl)" " 644" "a copy, mode 0644"
check "-o -" crl -o -
same "$(head -n 1 "$WORK/out")" "-----BEGIN X509 CRL-----" "is PEM on standard output"
said 'CRL number' "with the summary on stderr"
check "--json -o -" crl --json -o -
json "holds the PEM" 'd["crl_pem"].startswith("-----BEGIN X509 CRL-----") and d["file"] is None'
check "it verifies" openssl crl -in state/ca.crl -CAfile state/ca.crt -noout
grep -v pin-file "$PLANTCA_CONFIG" >no-pin.conf
expect 3 "no PIN and no terminal to ask on" setsid -w "$PLANTCA" crl -c no-pin.conf
cat >ask.py <<'PY'
# Runs a command on a terminal of its own and types the PIN when it is asked for.
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
while b"PIN of token 'voke-ca':" not in seen:
    seen += os.read(terminal, 1024)
os.write(terminal, b"246810\n")
try:
    while more := os.read(terminal, 1024):
        seen += more
except OSError:
    pass  # the other end is closed
sys.stdout.write(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
check "the PIN from the terminal" timeout 30 /usr/bin/python3 ask.py "$PLANTCA" crl -c no-pin.conf
same "$(grep -c 246810 "$WORK/out")" 0 "is not shown"
last=$(number state/ca.crl)
check "--if-due, without a token" crl --if-due --json -c "$(without_token)"
json "makes none while the last one is good" 'not d["made"] and d["crl"]["number"] == '"$last"
check "--if-due with -o" crl --if-due -o last.crl
check "gives the last one" cmp last.crl state/ca.crl

if command -v systemd-analyze >/dev/null; then
    mkdir units
    sed "s|^ExecStart=[^ ]*|ExecStart=$PLANTCA|" "$PC_BUILD/packaging/plantca-crl.service" >units/plantca-crl.service
    cp "$PC_SOURCE/packaging/systemd/plantca-crl.timer" units/
    check "the systemd units are sound" systemd-analyze verify --man=no "$WORK/units/plantca-crl.service" "$WORK/units/plantca-crl.timer"
    same "$(cat "$WORK/err")" "" "and systemd has nothing to say of them"
    check "what the service runs" "$PLANTCA" --no-input publish --pin-file "$(sed -n "s/^pin-file *= *//p" "$PLANTCA_CONFIG")"
else
    skip "the systemd units" "systemd-analyze is missing"
fi
cp "$PLANTCA_CONFIG" before.conf
printf '[device]\nbackdate = 1h\n' >>"$PLANTCA_CONFIG"
sed -i 's/^state .*/&\ncrl-days = 2/' "$PLANTCA_CONFIG"
check "with other settings" crl --json
json "crl-days and backdate hold" '__import__("datetime").datetime.fromisoformat(d["crl"]["next_update"][:-1]) - __import__("datetime").datetime.fromisoformat(d["crl"]["this_update"][:-1]) <= __import__("datetime").timedelta(days=2, hours=1)'
cp before.conf "$PLANTCA_CONFIG"
last=$(number state/ca.crl)
check "another for a month" crl -q
expect 4 "--if-due from crl-renew on" days_later 21 "$PLANTCA" crl --if-due -c "$(without_token)"
check "and with the token" days_later 21 "$PLANTCA" crl --if-due --json
json "makes one" 'd["made"] and d["crl"]["number"] == '"$((last + 2))"
if [ "$(id -u)" -eq 0 ]; then
    chown 12345 state
    expect 2 "root, in another user's state folder" crl
    said "belongs to user 12345" "says whose it is"
    check "and looks all the same" "$PLANTCA" list
    chown 0 state
fi
finish
