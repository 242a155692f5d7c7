#!/usr/bin/env bash
# plantca list and show: what is on record, for people and for programs.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
new_csr "$UUID1" one.key one.csr
new_csr "$UUID1" new.key new.csr
new_csr "$UUID2" two.key two.csr
"$PLANTCA" sign -q --plant "$UUID1" one.csr -o one.crt
"$PLANTCA" sign -q --plant "$UUID1" new.csr -o new.crt --replace "$(serial_of one.crt)" 2>/dev/null
DEVICE_DAYS=5 "$PLANTCA" sign -q --plant "$UUID2" two.csr -o two.crt
host=a-rather-long-name-of-a-broker.somewhere.example
"$PLANTCA" broker -q --cn $host --new-key broker.key -o broker.crt
PLANTCA_CONFIG=$(without_token) # nothing here needs it
list() { "$PLANTCA" list "$@"; }
devices() { echo '[c["serial"] for c in lines if c["profile"] == "device"] == ['"$1"']'; }
one="\"$(serial_of one.crt)\"" new="\"$(serial_of new.crt)\"" two="\"$(serial_of two.crt)\""

expect 2 "two filters" list --current --revoked
expect 2 "days that are none" list --expiring soon
expect 2 "negative days" list --expiring=-1
expect 2 "an operand" list "$UUID1"
check "list" list
said '^NAME +PROFILE +STATE +EXPIRES +SERIAL$' "has a heading"
said "^$UUID1 +device +superseded +($(date -u -d '+13 days' +%F)|$(date -u -d '+14 days' +%F)) " "what is superseded ends with its overlap"
said "^$UUID1 +device +superseded +20[0-9]{2}-[0-9]{2}-[0-9]{2} +$(serial_of one.crt)$" "whole serial numbers into a file"
check "list --json" list --json
json "one object a line, oldest first" "$(devices "$one, $new, $two")"
json "with all that is known" 'all(set(c) == {"schema", "serial", "profile", "cn", "state", "origin", "invalid_since", "expired", "key_sha256", "certificate_sha256", "not_before", "not_after", "issued_at", "revoked_at", "revoke_after", "reason"} for c in lines)'
expect 2 "a profile that is none" list --profile plc
check "--profile device" list --profile device
same "$(tail -n +2 out | awk '{ print $1, $2 }' | tr '\n' ' ')" "$UUID1 device $UUID1 device $UUID2 device " "has the PLCs alone"
check "--profile broker --json" list --profile broker --json
json "has the brokers alone" '[c["serial"] for c in lines] == ["'"$(serial_of broker.crt)"'"]'
check "--profile and a filter" list --profile device --superseded --json
json "hold both" "[c['serial'] for c in lines] == [$one]"
check "--profile probe" list --profile probe --json
json "has none" 'lines == []'
check "--current" list --json --current
json "leaves out what was superseded" "$(devices "$new, $two")"
check "--valid" list --json --valid
json "does not" "$(devices "$one, $new, $two")"
check "--expiring" list --json --expiring 6
json "has what ends soon" "$(devices "$two")"
check "--revoked" list --json --revoked
json "has none yet" "$(devices '') if lines else True"
check "--superseded" list --json --superseded
json "has the predecessor" "$(devices "$one")"
for filter in held foreign; do
    check "--$filter" list --$filter --json
    json "has none" 'lines == []'
done
check "--limit 3" list --json --limit 3
json "is the first page" 'len(lines) == 3 and lines[2]["serial"] == '"$one"
check "--after" list --json --limit 2 --after "$(serial_of one.crt | tr a-f A-F)"
json "is the next" '[c["serial"] for c in lines] == ['"$new, $two"']'
check "behind the last" list --after "$(serial_of broker.crt)"
silent "there is nothing"
expect 5 "behind one that is not on record" list --after 0123 --json
json "is refused" 'd["error"]["name"] == "record-unknown"'
expect 2 "behind what is no serial number" list --after "one'; --"
expect 2 "a limit that is none" list --limit 0
expect 2 "--csv --json" list --csv --json
check "--csv" list --csv
cp "$WORK/out" list.csv
reads() {
    /usr/bin/python3 - "$1" "$2" <<'PY'
import csv, sys
raw = open(sys.argv[1], "rb").read()
assert raw.count(b"\n") == raw.count(b"\r\n"), "line ends"
rows = list(csv.DictReader(open(sys.argv[1], newline=""), strict=True))
assert all(None not in row and None not in row.values() for row in rows), "columns"
assert eval(sys.argv[2]), rows
PY
}
check "--csv of none" list --csv --foreign
same "$(cut -d , -f 1,2 "$WORK/out")" "serial,cn" "is a header"
closed_pipe() {
    /usr/bin/python3 -c 'import os, subprocess, sys
r, w = os.pipe()
os.close(r)
sys.exit(subprocess.run(sys.argv[1:], stdout=w).returncode)' "$PLANTCA" list
}
expect 1 "a pipe that nobody reads" closed_pipe
same "$(cat "$WORK/err")" "" "is not complained of"
check "is read by Python's csv" reads list.csv \
    '[(row["state"], row["expired"]) for row in rows if row["serial"] == '"$one"'] == [("superseded", "false")]'
softhsm_token voke-ca2 246810
sed "s|label .*|label = voke-ca2|; s|state .*|state = $WORK/state2|" plantca.conf >second.conf
in_postgres && postgres_database second && sed -i "s|/plantca$|/second|" second.conf
check "a CA whose name is a formula" env CA_SUBJECT='/CN==HYPERLINK("http:\/\/x"),y' "$PLANTCA" init -q -c second.conf
list --csv -c second.conf >formula.csv
check "a formula is quoted and made harmless" reads formula.csv 'rows[0]["cn"].startswith("\x27=HYPERLINK(")'
if command -v script >/dev/null; then
    check "on a terminal of 80 columns" script -qec "stty cols 80; '$PLANTCA' list" /dev/null
    same "$(tr -d '\r' <"$WORK/out" | awk 'length > 80' | wc -l)" 0 "no line is longer"
    said "$UUID1 .*\.\.\." "serial numbers are cut"
    said "^${host:0:33}\.\.\." "so are long names"
else
    skip "on a terminal" "no script(1)"
fi
finish
