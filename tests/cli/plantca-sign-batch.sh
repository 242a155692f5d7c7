#!/usr/bin/env bash
# plantca sign --batch as a shift at a provisioning station uses it: good and bad requests, run again, interrupted, manifests.
# With a token that fails: plantca-sign-batch-token.sh.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
requests() { "$PC_BUILD/tests/bench/requests" "$@"; }
batch() { "$PLANTCA" sign --batch "$@"; }
current() { "$PLANTCA" list --current --json | grep -c '"device"'; }
# of OUTCOME: how many items of the last run ended so.
count() { json "$2" "sum(l.get('outcome') == '$1' for l in lines) == $3 and d['$1'] == $3"; }
# refused NAME INPUT DESCRIPTION: that item, and how.
refused() {
    json "$3" "[l['error']['name'] for l in lines if l.get('input', '').endswith('$2')] == ['$1']"
}
pubkey_of() { openssl "$1" -in "$2" -noout -pubkey; }
uuid() { printf 'a1b2c3d4-0000-4000-8000-%012d' "$1"; }

expect 2 "no folder for the chains" batch requests
expect 2 "chains to standard output" batch requests -o -
expect 1 "an input that is not there" batch none -o out1
for option in "--plant $UUID1" "--replace 1234" "--revoke-old superseded" -n; do
    # shellcheck disable=SC2086 # option and value
    expect 2 "${option%% *} with a batch" batch requests -o out1 $option
done
expect 2 "a request with a batch" batch requests -o out1 one.csr
mkfifo pipe
expect 5 "a FIFO as manifest" batch pipe -o out1 --json
json "is refused" 'd["error"]["name"] == "file-kind"'
touch file
mkdir empty
expect 5 "a file where the chains' folder should be" batch empty -o file --json
json "is refused" 'd["error"]["name"] == "file-kind"'
check "an empty folder" batch empty -o none --json
json "is done at once" 'd["items"] == 0 and d["receipt"] and d["signature"]'

requests fleet 400
check "a shift of 400" batch fleet -o certs
said '^Issued +400$' "all are issued"
same "$(current)" 400 "all are on record"
crts=(certs/*.crt) csrs=(fleet/*.csr)
same "${#crts[@]}" 400 "all have their chains"
cat "${crts[@]}" >all.pem
same "$(openssl crl2pkcs7 -nocrl -certfile all.pem | openssl pkcs7 -print_certs -noout | sed -n 's/^subject=CN = //p')" \
    "$(basename -a -s .crt "${crts[@]}")" "each its own"
check "they verify" openssl verify -x509_strict -CAfile state/ca.crt certs/*.crt
same "$(mode "${crts[0]}")" 644 "mode 0644"
same "$(openssl x509 -in "${crts[0]}" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)" \
    "$(openssl req -in "${csrs[0]}" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)" \
    "and its own key"

receipts=(certs/receipt-*.jsonl) receipt=${receipts[0]}
verified() { # RECEIPT: by openssl, with the CA's certificate alone
    openssl cms -verify -binary -inform DER -in "${receipt%.jsonl}.p7s" -content "$1" -CAfile state/ca.crt -purpose any -out /dev/null
}
check "the receipt is signed" verified "$receipt"
check "the audit log" "$PLANTCA" audit export -o audit.jsonl
same "$(grep '"act":"batch"' audit.jsonl | sed -n 's/.*"count":400,"file_sha256":"\([0-9a-f]*\)".*/\1/p')" \
    "$(sha256sum <"$receipt" | cut -d' ' -f1)" "names the receipt"
same "$(tail -n 1 audit.jsonl | grep -c '^{"act":"checkpoint"')" 1 "and is vouched for behind it"

# By our own program, on the CA's host and on an auditor's machine.
proof() { "$PLANTCA" audit receipt "$@"; }
bad_receipt() { # NAME DESCRIPTION ARGUMENT…: refused by this name, with the ledger and without
    local name=$1 what=$2
    shift 2
    expect 5 "$what" proof --json "$@"
    json "is refused: $name" "d['error']['name'] == '$name'"
    expect 5 "$what, by an auditor" proof --json --ca state/ca.crt -c alone.conf "$@"
    json "is refused: $name" "d['error']['name'] == '$name'"
}
signature=${receipt%.jsonl}.p7s
echo >alone.conf
check "audit receipt" proof --json "$receipt"
json "tells what it found" 'd["items"] == d["issued"] == 400 and d["complete"] and d["recorded"] and d["audit_row"] > 800 and d["not_through"] == []'
check "without a ledger" proof --ca state/ca.crt -c alone.conf "$receipt" "$signature"
said '^Items +400: 400 issued' "tells as well"
said 'Not known' "and what it cannot know"
expect 2 "no receipt" proof
expect 2 "a file for another act" "$PLANTCA" audit verify "$receipt"
sed 200d "$receipt" >bad.jsonl
bad_receipt receipt-counts "a line less" bad.jsonl "$signature"
sed 200p "$receipt" >bad.jsonl
bad_receipt receipt-counts "a line more" bad.jsonl "$signature"
sed '$d' "$receipt" >bad.jsonl
bad_receipt receipt-trailer "no trailer" bad.jsonl "$signature"
sed '200s/"key_sha256":"./"key_sha256":"x/' "$receipt" >bad.jsonl
bad_receipt cms-signature "a line changed" bad.jsonl "$signature"
sed '200s/^/x/' "$receipt" >bad.jsonl
bad_receipt receipt-line "no JSON" bad.jsonl "$signature"
cp "$receipt" bad.jsonl
rm -f bad.p7s
bad_receipt receipt-unsigned "no signature" bad.jsonl
new_csr "$UUID2" forger.key forger.csr
check "a PLC's certificate" "$PLANTCA" sign -q --plant "$UUID2" forger.csr -o forger.crt
openssl cms -sign -binary -nosmimecap -in bad.jsonl -signer forger.crt -inkey forger.key -outform DER -out bad.p7s
bad_receipt cms-signer "signed by a PLC's key" bad.jsonl
openssl_ca other
openssl cms -sign -binary -nosmimecap -in bad.jsonl -signer other.crt -inkey other.key -outform DER -out bad.p7s
bad_receipt cms-signer "signed by another CA" bad.jsonl
expect 5 "of another CA" proof --json --ca other.crt -c alone.conf "$receipt"
json "is refused" 'd["error"]["name"] == "receipt-ca"'
ledger_keep whole
ledger_forge "DELETE FROM audit WHERE seq > 500"
expect 5 "by a ledger that ends before it" proof --json --state state "$receipt"
json "is refused" 'd["error"]["name"] == "receipt-head"'
ledger_back whole
sed 200d "$receipt" >shorter
expect 4 "a line less" verified shorter
sed '7s/issued/failed/' "$receipt" >other
expect 4 "another outcome" verified other
cp "$receipt" out
json "header, 400 items, trailer" 'len(lines) == 402 and lines[0]["kind"] == "batch" and d["kind"] == "end" and d["complete"] and d["issued"] == 400'
json "the header tells who and what" 'lines[0]["ca_sha256"] and lines[0]["program"].startswith("plantca ") and lines[0]["build"] and lines[0]["input"] == "fleet" and lines[0]["items"] == 400'
json "the trailer tells the head of the audit log" 'len(d["audit"]["sha256"]) == 64 and d["audit"]["seq"] > 800 and d["ended_at"]'
json "each item has its hashes" 'all(len(l[k]) == 64 for l in lines[1:-1] for k in ("request_sha256", "key_sha256", "certificate_sha256"))'
same "$(openssl x509 -in "${crts[9]}" -outform DER | sha256sum | cut -d' ' -f1)" \
    "$(grep "$(basename "${crts[9]}" .crt)" "$receipt" | sed 's/.*"certificate_sha256":"\([0-9a-f]*\)".*/\1/')" "that of its certificate"
same "$(openssl req -in "${csrs[9]}" -outform DER | sha256sum | cut -d' ' -f1)" \
    "$(grep "$(basename "${csrs[9]}" .csr)" "$receipt" | sed 's/.*"request_sha256":"\([0-9a-f]*\)".*/\1/')" "and that of its request"

# What a killed run left of its receipt, what a living one holds, and what only looks like it.
dead=certs/.receipt-20260101T000000Z-00000001.jsonl.0123456789abcdef
living=certs/.receipt-20260101T000000Z-00000002.jsonl.0123456789abcdef
mine=certs/.receipt-notes
touch "$dead" "$living" "$mine"
exec 9>>"$living"
flock 9
cp -r certs before
removed=${crts[2]} emptied=${crts[4]} zeroed=${crts[6]}
rm "$removed"
: >"$emptied"
head -c 600 /dev/zero >"$zeroed"
check "the same again" batch fleet -o certs --json
count already "nothing is issued twice" 400
json "every item tells its serial and hash" 'all(len(l["certificate_sha256"]) == 64 and l["serial"] for l in lines[:-1])'
for crt in "$removed" "$emptied" "$zeroed"; do
    same "$(cmp "$crt" "before/$(basename "$crt")" 2>&1)" "" "a file that was missing, or that a power cut took, is written again"
done
same "$(current)" 401 "and nothing else is on record, but what the forger has"
same "$(cd certs && echo .receipt*)" "${living#certs/} ${mine#certs/}" "the draft of a receipt that nobody holds is gone, and no other"
exec 9>&-

# Good and bad, mixed.
mkdir mixed
requests some 6
cp some/*.csr mixed/
for i in 1 2 3 4 5 6 7; do new_csr "$(uuid "$i")" "$i.key" "$i.csr"; done
cp 1.csr mixed/not-a-uuid.csr
cp 2.csr "mixed/$(uuid 3).csr"
cp 4.csr "mixed/$(uuid 4 | tr a-f A-F).csr"
cp 5.csr "mixed/$(uuid 5).csr"
cp 5.csr "mixed/$(uuid 5).PEM"
ln -s "$WORK/6.csr" "mixed/$(uuid 6).csr"
mkfifo "mixed/$(uuid 7).csr"
head -c 70000 /dev/zero >"mixed/$(uuid 8).csr"
mkdir "mixed/$(uuid 9).csr"
new_csr "$(uuid 10)" 10.key "mixed/$(uuid 10).csr"
new_csr "$(uuid 11)" 10.key "mixed/$(uuid 11).csr"
cp 1.csr mixed/00000000-0000-0000-0000-000000000000.csr
: >"mixed/$(uuid 12).csr"
for i in 13 14 15 16; do new_csr "$(uuid "$i")" "$i.key" "mixed/$(uuid "$i").csr"; done
touch mixed/readme.txt mixed/.hidden.csr
mkdir given
ln -s elsewhere "given/$(uuid 13).crt"
mkfifo "given/$(uuid 14).crt"
echo "my notes" >"given/$(uuid 15).crt"
cp "${crts[0]}" "given/$(uuid 16).crt"
expect 5 "good ones and bad ones" batch mixed -o given --json
json "each has a line, and a last one counts" 'd["items"] == len(lines) - 1 == 23 and d["ignored"] == 1 and d["kind"] == "end"'
count issued "the good ones are issued" 7
refused plant-uuid not-a-uuid.csr "no UUID"
refused plant-uuid 00000000-0000-0000-0000-000000000000.csr "the nil UUID"
refused request-plant "$(uuid 3).csr" "the request of another plant"
refused plant-uuid "$(uuid 4 | tr a-f A-F).csr" "a UUID in upper case"
refused plant-twice "$(uuid 5).csr" "two files for one plant"
refused plant-twice "$(uuid 5).PEM" "the other one of them"
refused file-kind "$(uuid 6).csr" "a link"
refused file-kind "$(uuid 7).csr" "a FIFO"
refused request-size "$(uuid 8).csr" "a huge file"
refused file-kind "$(uuid 9).csr" "a folder"
refused request-size "$(uuid 12).csr" "an empty file"
json "the key of another plant of the same batch" '[l["error"]["name"] for l in lines if l.get("error") and l.get("plant") == "'"$(uuid 11)"'"] == ["identity-key"]'
json "what stands in a chain's place" 'sorted(l["error"]["name"] for l in lines[:-1] if l["plant"] in ("'"$(uuid 13)\", \"$(uuid 14)\", \"$(uuid 15)\", \"$(uuid 16)"'")) == ["file-foreign", "file-foreign", "file-kind", "file-kind"]'
same "$(readlink "given/$(uuid 13).crt") $(cat "given/$(uuid 15).crt")" "elsewhere my notes" "is left alone"
for i in 13 14 15 16; do
    expect 5 "plant $i" "$PLANTCA" show "$(uuid "$i")"
done
expect 5 "with a table" batch mixed -o given
said '^Issued before +7$' "counts"
said '^Refused +16$' "the refused"
said 'not-a-uuid\.csr: ' "and names them"
said 'items did not come through' "and sums up"
same "$(sed -n 's/.*the first: //p' err)" "$(sed -n 's/^plantca sign: //p' err | head -n 1)" "the first is the first that is shown"

# Manifests.
manifest() { printf '%b' "$1" >list.csv; }
bad_manifest() { # TEXT CODE NAME LINE DESCRIPTION
    manifest "$1"
    expect "$2" "$5" batch list.csv -o listed --json
    json "  is refused with its line" "d['error']['name'] == '$3' and 'list.csv:$4: ' in d['error']['message'] and len(lines) == 1"
}
issued=$(current)
bad_manifest "$(uuid 20)\n" 2 manifest-syntax 1 "one field"
bad_manifest "uuid,path\r\n$(uuid 20),a,b\r\n" 2 manifest-syntax 2 "three fields"
bad_manifest "$(uuid 20),\n" 2 manifest-syntax 1 "no path"
bad_manifest "$(uuid 20),\"a\n" 2 manifest-syntax 1 "an open quotation"
bad_manifest "$(uuid 20),a\"b\n" 2 manifest-syntax 1 "a stray quotation mark"
bad_manifest "$(uuid 20),\"a\"b\n" 2 manifest-syntax 1 "text behind a quotation"
bad_manifest "$(uuid 20),a\n$(uuid 21),a\0b\n" 2 manifest-syntax 2 "a NUL"
bad_manifest "$(uuid 20),a\001\n" 2 manifest-syntax 1 "a control character"
bad_manifest "$(uuid 20),$(head -c 9000 /dev/zero | tr '\0' a)\n" 2 manifest-syntax 1 "a line without end"
bad_manifest "$(uuid 1),1.csr\n$(uuid 2),2.csr\n$(uuid 1),3.csr\n" 5 manifest-twice 3 "a plant twice"
json "both lines are named" '"line 1 already" in d["error"]["message"]'
bad_manifest "$(uuid 1),1.csr\n$(uuid 1 | tr a-f A-F),1.csr\n" 5 manifest-twice 2 "a plant twice, once in upper case"
same "$(current)" "$issued" "nothing was signed by any of them"
same "$(ls listed 2>/dev/null)" "" "or written"
expect 5 "a manifest that contradicts itself, without a token" batch list.csv -o listed -c "$(without_token)"
printf '000000\n' >wrong && chmod 600 wrong
expect 3 "a wrong PIN" batch fleet -o listed --pin-file wrong
expect 4 "no token" batch fleet -o listed -c "$(without_token)"
mkdir sub
cp 1.csr "sub/a, b.csr"
manifest "\xef\xbb\xbfUUID,csr-path\r\n$(uuid 1),\"sub/a, b.csr\"\r\n\r\nplant-x,2.csr\r\n$(uuid 2),none.csr\r\n\"$(uuid 3)\",$WORK/3.csr\r\n$(uuid 4),4.csr"
check "a folder to be elsewhere" mkdir elsewhere2
cd elsewhere2 || exit 1
expect 5 "a manifest with header, quotes, CRLF, a mark in front, and no last line end" batch ../list.csv -o ../listed --json
cd .. || exit 1
json "is read from its own folder, in its order for the exit code" 'd["issued"] == 3 and d["refused"] == 1 and d["failed"] == 1 and "plant-x" in d["error"]["message"]'
json "a missing file fails" '[(l["error"]["code"], l["outcome"]) for l in lines if l.get("input", "").endswith("none.csr")] == [(1, "failed")]'
json "lines are told" '[l["plant"] for l in lines if l.get("outcome") == "issued"] and all("input" in l for l in lines[:-1])'

# Another key for a known plant, a revoked one.
mkdir later
new_csr "$(uuid 1)" other.key "later/$(uuid 1).csr"
"$PLANTCA" -q revoke --plant "$(uuid 4)" --reason keyCompromise
cp 4.csr "later/$(uuid 4).csr"
expect 5 "later requests" batch later -o listed --json
refused identity-current "$(uuid 1).csr" "another key"
refused identity-revoked "$(uuid 4).csr" "a revoked key"

# Two at once, over the same folder and into the same one.
requests twins 300
batch twins -o twice --json >first.out 2>first.err </dev/null &
pid=$!
batch twins -o twice --json >second.out 2>second.err </dev/null
second=$?
wait $pid
first=$?
case $first$second in 00 | 06 | 60 | 66) pass "two runs at once come through, or leave items to each other" ;; *) fail "two runs at once: $first, $second" "$(cat first.err second.err)" ;; esac
cat first.out second.out | grep '"item"' >out
json "each item is issued by one of them" 'sum(l["outcome"] == "issued" for l in lines) == 300 and len({l["plant"] for l in lines if l["outcome"] == "issued"}) == 300'
json "and the other one has it already, or leaves it" '{l["outcome"] for l in lines} <= {"issued", "already", "pending"}'
check "once more" batch twins -o twice --json
count already "all are there" 300
same "$(find twice -name '*.crt' | wc -l)" 300 "with their chains"
same "$(find twice -name '.*' -type f)" "" "and no drafts"
check "the ledger is sound" "$PLANTCA" audit verify

# Stopped by a signal: what was begun is finished, and the next run does the rest.
requests many 3000
mkdir stopped
PC_WATCHED=$WORK/stopped
"$PLANTCA" sign --batch many -o "$PC_WATCHED" --json >"$WORK/out" 2>"$WORK/err" </dev/null &
pid=$!
some_written() { [ "$(find "$PC_WATCHED" -name '*.crt' | head -n 20 | wc -l)" -ge 20 ]; }
wait_for 60 some_written
kill -TERM $pid
wait $pid
same "$?" 6 "SIGTERM in the middle: exit 6"
said '^plantca sign: stopping; what was begun is finished first' "that it stops is said at once"
same "$(head -n 1 "$WORK/err" | cut -d: -f2)" " stopping; what was begun is finished first (again" "before all else"
json "it says so, and what is left" 'd["error"]["name"] == "interrupted" and d["pending"] > 0 and d["issued"] > 0 and d["issued"] + d["pending"] == 3000'
json "every item is in the account" 'len(lines) == 3001'
issued=$(/usr/bin/python3 -c 'import json,sys; print([json.loads(l) for l in open(sys.argv[1])][-1]["issued"])' "$WORK/out")
chains() { find "$1" -name "*.crt" | wc -l; }
same "$(chains stopped)" "$issued" "what was issued has its chain"
check "run again" batch many -o stopped --json
json "only the rest is done" "d['already'] == $issued and d['issued'] == 3000 - $issued"
"$PLANTCA" sign --batch many -o killed -q >/dev/null 2>&1 </dev/null &
pid=$!
kill -KILL $pid
wait $pid 2>/dev/null
check "run again after SIGKILL" batch many -o killed --json
count already "finds it all" 3000
same "$(chains killed)" 3000 "and writes the chains"

# A stick that goes round: whoever is due gets a successor, whoever is not what there is, and another key needs a decision.
mkdir stick
due=$(uuid 901)
new_csr "$due" due.key "stick/$due.csr"
check "a first certificate from the stick" batch stick -o stick --renew --json
count issued "is issued" 1
first=$(serial_of "stick/$due.crt")
check "not due" batch stick -o stick --renew --json
count already "it is given again" 1
new_csr "$UUID2" another.key "stick/$UUID2.csr"
stick_later() { days_later 700 "$PLANTCA" sign --batch stick -o stick --json "$@"; }
expect 5 "due, without --renew" stick_later
refused identity-window "$due.csr" "is refused"
rm "stick/$due.crt"
expect 5 "due, with --renew, beside another key for a plant" stick_later --renew
count issued "the one that is due gets a successor" 1
same "$([ "$(serial_of "stick/$due.crt")" != "$first" ] && pubkey_of x509 "stick/$due.crt")" "$(pubkey_of req "stick/$due.csr")" "for its key"
refused identity-current "$UUID2.csr" "the other key is refused"
rm "stick/$UUID2.csr"
check "again" stick_later --renew
count already "the successor is given" 1
finish
