#!/usr/bin/env bash
# plantca allow: one plant or a shift's, by code or by approval; the code once, its hash on record.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
CLAIM=$(realpath "${1:?the program that asks as a signer does}")
ca_start
cd "$WORK" || exit 1
claim() { "$CLAIM" "$WORK/state" "$@"; }
allow() { "$PLANTCA" allow "$@"; }
rows() { ledger_sql "SELECT count(*) FROM admission"; }
no_token=$(without_token)

expect 2 "nobody" allow --code
expect 2 "by nothing" allow --plant "$UUID1"
expect 2 "by two ways" allow --plant "$UUID1" --code --pending
expect 2 "a UUID that is none" allow --plant plc1 --code
expect 2 "one in capitals" allow --plant "${UUID1^^}" --code
expect 2 "no time at all" allow --plant "$UUID1" --code --valid 0
expect 2 "a time that is none" allow --plant "$UUID1" --code --valid soon
expect 2 "a serial that is none" allow --plant "$UUID1" --code --replace xyz
expect 2 "a reason without what it is for" allow --plant "$UUID1" --code --revoke-old keyCompromise
expect 2 "a reason that is none" allow --plant "$UUID1" --code --replace 01 --revoke-old stolen
expect 2 "a note with a control character" allow --plant "$UUID1" --code --note $'a\tb'
expect 2 "a note without end" allow --plant "$UUID1" --code --note "$(printf 'x%.0s' $(seq 256))"
expect 5 "an EK's hash" allow --plant "$UUID1" --ek "$(printf 'ab%.0s' $(seq 32))" --json
json "is refused by name, and told why" 'd["error"]["name"] == "admission-ek" and "public" in d["error"]["message"]'
expect 5 "replacing where there is nothing" allow --plant "$UUID1" --code --replace 01 --json
json "by name" 'd["error"]["name"] == "identity-replace"'
touch there
expect 5 "onto a file that is there" allow --plant "$UUID1" --code -o there
expect 5 "onto the CA's own" allow --plant "$UUID1" --code -o state/ca.crt
expect 1 "into a folder that is not there" allow --plant "$UUID1" --code -o none/code
same "$(rows)" 0 "nothing of this admitted anybody"

check "by code, without a token" allow --plant "$UUID1" --code -c "$no_token" --note 'line 3'
code=$(cat out)
same "$(grep -cE '^([0-9A-HJKMNP-TV-Z]{5}-){4}[0-9A-HJKMNP-TV-Z]{5}$' out) $(wc -l <out)" "1 1" "the code alone is on stdout"
same "$(grep -c Until err)" 1 "what is there for people goes to stderr"
same "$(grep -rc "$code" state | awk -F: '{ n += $2 } END { print n }')" 0 "no file of the CA holds it"
same "$(ledger_sql "SELECT length(code), proof, state, note, count(key) FROM admission GROUP BY id")" "32|code|open|line 3|0" "its hash is on record"
same "$(ledger_sql "SELECT json_extract(line, '\$.act', '\$.outcome', '\$.proof', '\$.subject', '\$.note', '\$.admission') FROM audit ORDER BY seq DESC LIMIT 1")" \
    "[\"allow\",\"done\",\"code\",\"$UUID1\",\"line 3\",1]" "and the act in the audit log"
check "with who did it" test -n "$(ledger_sql "SELECT json_extract(line, '\$.user') FROM audit ORDER BY seq DESC LIMIT 1")"

expect 5 "the UUID alone" claim "$UUID1" k1
same "$(cat out)" admission-code "is not enough"
expect 5 "a wrong code" claim "$UUID1" k1 "${code%?}$([ "${code: -1}" = 0 ] && echo 1 || echo 0)"
expect 5 "an empty one" claim "$UUID1" k1 ""
expect 5 "half of it" claim "$UUID1" k1 "${code:0:14}"
expect 5 "one with more behind it" claim "$UUID1" k1 "${code}0"
expect 5 "a very long one" claim "$UUID1" k1 "$(printf 'A%.0s' $(seq 5000))"
expect 5 "the code at another plant" claim "$UUID2" k1 "$code"
same "$(cat out)" admission-none "which nobody admitted"
same "$(ledger_sql "SELECT count(*) FROM audit WHERE line LIKE '%bind%'")" 0 "nothing of this is bound"
check "the code, as people type it" claim "$UUID1" k1 "$(tr '[:upper:]' '[:lower:]' <<<"$code" | tr -d '-' | sed 's/1/l/g; s/0/o/g')"
check "again, after a lost reply" claim "$UUID1" k1 "$code" --use
check "and again" claim "$UUID1" k1 "$code" --use
expect 5 "the code with another key" claim "$UUID1" k2 "$code"
same "$(cat out)" admission-key "is bound to the first"
expect 5 "the key without the code" claim "$UUID1" k1
same "$(ledger_sql "SELECT group_concat(json_extract(line, '\$.act')) FROM (SELECT line FROM audit WHERE line LIKE '%\"admission\":1,%' ORDER BY seq) AS a")" \
    allow,bind,admit "each step is told once"

check "another code" allow --plant "$UUID2" --code
first=$(cat out)
check "and another one" allow --plant "$UUID2" --code --json
second=$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["code"])' <out)
json "in JSON" 'd["plant"] == "'"$UUID2"'" and d["proof"] == "code" and d["state"] == "open" and d["file"] is None'
expect 5 "the first of them" claim "$UUID2" k3 "$first"
check "is good for nothing, the second is" claim "$UUID2" k3 "$second"
same "$(ledger_sql "SELECT group_concat(state) FROM (SELECT state FROM admission WHERE plant = '$UUID2' ORDER BY id) AS a")" \
    withdrawn,open "both are on record"
check "into a file" allow --plant "$UUID2" --code -o code --json
json "and not into JSON" '"code" not in d and d["file"] == "code"'
same "$(stat -c '%a' code) $(wc -l <code)" "600 1" "0600"
mkdir full && mount -t tmpfs -o size=4k tmpfs full && head -c 4096 /dev/zero >full/all
expect 1 "onto a disk that is full" allow --plant "$UUID2" --code -o full/code
same "$(grep -c 'the code is lost' err) $(cat out err | grep -c 'Next:')" "1 0" "... is told as a loss alone"
umount full
check "for a second" allow --plant "$UUID2" --code --valid 1s -o short
until [ "$(date +%s)" -gt "$(($(stat -c %Y short) + 1))" ]; do sleep 0.1; done
expect 5 "after which" claim "$UUID2" k4 "$(cat short)"
same "$(cat out)" admission-expired "it has expired"

# A plant that has a certificate.
new_csr "$UUID1" one.key one.csr
check "a certificate" "$PLANTCA" sign -q --plant "$UUID1" one.csr -o one.crt
serial=$(serial_of one.crt)
expect 5 "its plant" allow --plant "$UUID1" --code --json
json "is not admitted again by the way" 'd["error"]["name"] == "admission-current" and "--replace '"$serial"'" in d["error"]["message"]'
expect 5 "nor in place of another one" allow --plant "$UUID1" --code --replace 0123 --json
json "by name" 'd["error"]["name"] == "identity-replace" and "'"$serial"'" in d["error"]["message"]'
check "in place of this one" allow --plant "$UUID1" --code --replace "$serial" --revoke-old keyCompromise
check "is what the grant says" claim "$UUID1" k5 "$(cat out)"
same "$(cut -d' ' -f3- out)" "$serial 1" "with the reason"
check "without a reason" allow --plant "$UUID1" --code --replace "$serial"
check "grants its overlap" claim "$UUID1" k6 "$(cat out)"
same "$(cut -d' ' -f3- out)" "$serial -1" "to the old one"
check "a hold" "$PLANTCA" hold -q --plant "$UUID1"
expect 5 "of its certificate" allow --plant "$UUID1" --code --replace "$serial" --json
json "is in the way" 'd["error"]["name"] == "identity-held"'

# A shift's.
u() { printf 'b1b2c3d4-0000-4000-8000-%012d' "$1"; }
before=$(rows)
import() { printf '%b' "$1" >shift.csv; allow --import shift.csv "${@:2}"; }
expect 2 "an empty file" import ''
expect 2 "a header alone" import 'uuid,how\n'
expect 2 "with --plant" import "$(u 1)\n" --plant "$UUID1"
expect 2 "with --replace" import "$(u 1)\n" --replace 01
expect 1 "a file that is not there" allow --import none.csv
expect 2 "lines that are wrong" import "$(u 1)\nplc2\n$(u 3),maybe\n$(u 4),code,note,more\n$(u 5),\"code\n$(u 1),pending\n$(u 6),code,a\001b\n" --json
json "are all told" 'd["error"]["name"] == "shift-syntax" and "6 lines are wrong" in d["error"]["message"]'
same "$(grep -oE 'shift.csv:[0-9]+' err | tr '\n' ' ')" "shift.csv:2 shift.csv:3 shift.csv:4 shift.csv:5 shift.csv:6 shift.csv:7 " "by their numbers, in the order of the file"
expect 2 "a line with two separators" import "uuid;how\n$(u 1);code,note\n$(u 2),code;note\n"
same "$(grep -c 'neither code nor pending' err)" 2 "... has the first of them"
expect 2 "a wrong line, one twice, and a plant whose certificate is on hold" import "$UUID1\n$(u 1)\n$(u 1)\nplc2\n"
same "$(grep -oE 'shift.csv:[0-9]+: ' err | tr '\n' ' ')" "shift.csv:1:  shift.csv:3:  shift.csv:4:  " "... are told in one go, in the order of the file"
expect 2 "a header that is none" import ",,\nUnit,how\n$(u 1)\n"
said "shift.csv:2: .*a header would begin with \"uuid\" or \"plant\"" "... is told which is"
expect 2 "one that comes too late" import "$(u 1)\nuuid,how\n"
expect 2 "notes in Windows-1250" import "$(u 1),code,line\n$(u 2),code,p\xf8edn\xed\n"
said 'shift.csv:2: not in UTF-8 .*save the table as "CSV UTF-8"' "... are told by their line, with what to do"
for order in LE BE; do
    { [ $order = LE ] && printf '\xff\xfe' || printf '\xfe\xff'; printf 'uuid,how\r\n%s,code\r\n' "$(u 1)" | iconv -f UTF-8 -t UTF-16$order; } >wide.csv
    expect 2 "UTF-16$order" allow --import wide.csv
    said 'wide.csv: in UTF-16: save the table as "CSV UTF-8"' "... is told what to do"
done
expect 2 "a NUL" import "$(u 1)\0\n"
expect 2 "rows of a table without anything in them" import ",,\r\n;;\r\n  \r\n\r\n"
expect 5 "one plant that is refused" import "$(u 1)\n$UUID1\n$(u 2)\n" --json
json "is named, and stops them all" 'd["error"]["name"] == "identity-held" and "nobody was admitted" in d["error"]["message"]'
expect 5 "onto a file that is there" import "$(u 1)\n" -o there
same "$(rows)" "$before" "nobody was admitted by any of these"
check "a shift" import "\xef\xbb\xbfUUID,how,note\r\n$(u 1)\r\n$(u 2),pending\r\n\"$(u 3)\",code,\"left, \"\"hot\"\"\"\r\n\r\n$(u 4),,spare" --note morning
same "$(head -n 1 out) $(wc -l <out) $(cut -d, -f1 out | sed -n 2,5p | tr '\n' ' ')" "uuid,code,expires 5 $(u 1) $(u 2) $(u 3) $(u 4) " "one line a plant"
same "$(sed -n 3p out | cut -d, -f2)" "" "without a code for what waits"
same "$(ledger_sql "SELECT group_concat(proof || ' ' || note, '; ') FROM (SELECT * FROM admission ORDER BY id DESC LIMIT 4) AS a")" \
    'code spare; code left, "hot"; pending morning; code morning' "as the lines say"
check "its codes" claim "$(u 3)" k6 "$(sed -n 4p out | cut -d, -f2)"
check "from a spreadsheet where the comma is for decimals" import "\xef\xbb\xbf;;\r\n\"Plant\";how;note\r\n$(u 12);;1,5 kW\r\n;;\r\n  \r\n$(u 13);pending;\xc5\x99ada 2\r\n$(u 14)\tcode\tunit, 3\r\n" -o czech.csv
same "$(ledger_sql "SELECT group_concat(proof || ' ' || note, '; ') FROM (SELECT * FROM admission ORDER BY id DESC LIMIT 3) AS a")" \
    'code unit, 3; pending řada 2; code 1,5 kW' "... fields are apart by what each line says, rows of nothing are none"
check "into a file" import "$(u 8)\n$(u 9)\n" -o codes.csv --json
json "and not into JSON" 'len(lines) == 2 and "code" not in d and d["plant"] == "'"$(u 9)"'"'
same "$(stat -c '%a' codes.csv) $(wc -l <codes.csv)" "600 3" "0600"
check "once more" import "$(u 8)\n$(u 10)\n" -o again.csv
said "^Void: 1 earlier code of these plants" "what it makes void is told"
said "Codes in: again.csv" "and where the codes are"
check "as JSON" import "$(u 8)\n$(u 11)\n" --json
json "with its code" 'len(d["code"]) == 29'
json "and what it makes void" '[line["voids_code"] for line in lines] == [True, False]'
check "one plant alone" allow --plant "$(u 8)" --code
said "^Void +the code that was given before" "is told of its earlier code, too"
check "by approval" allow --plant "$(u 8)" --pending --json
json "the same as JSON" 'd["voids_code"] is True'
check "and once more" allow --plant "$(u 8)" --pending --json
json "nothing that was handed out" 'd["voids_code"] is False'
# A shift of which one has its certificate, and an open admission for the PLC that takes its place.
import "$(u 20)\n$(u 21)\n" -o done.csv >out
new_csr "$(u 20)" done.key done.csr
"$PLANTCA" sign -q --plant "$(u 20)" done.csr -o done.crt
done=$(serial_of done.crt)
next=$(allow --plant "$(u 20)" --code --replace "$done" 2>/dev/null)
check "the same shift again, one of which has its certificate" import "uuid\n$(u 20)\n$(u 21)\n" -o done2.csv
said "^shift.csv:2: $(u 20) has its certificate, $done$" "... tells which"
said "^Enrolled before, and left as it is: 1 plant$" "... and how many"
said "^Admitted: 1 plant$" "... admits the others"
said "^Void: 1 earlier code" "... in place of their earlier codes alone"
same "$(cut -d, -f1 done2.csv | tr '\n' ' ')" "uuid $(u 21) " "... which alone have new ones"
check "... the code for the one that has its certificate is good as before" claim "$(u 20)" k7 "$next"
before=$(rows)
check "a shift that is done, as JSON" import "$(u 20)\n" --json
json "is no error" 'len(lines) == 1 and set(d) == {"schema", "plant", "state", "serial"} and d["state"] == "enrolled" and d["serial"] == "'"$done"'"'
same "$(rows)" "$before" "... and admits nobody"
for i in $(seq 500); do u $((1000 + i)); echo; done >many.csv
check "five hundred" allow --import many.csv -o many.codes
same "$(sort -u -t, -k2,2 many.codes | wc -l)" 501 "have codes of their own"
check "the audit log" "$PLANTCA" audit verify --json
json "tells of all that" 'd["sound"]'
finish
