#!/usr/bin/env bash
# What people and scripts hand over that cannot be meant: each is refused with a text that names it, and nothing is lost by it.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
UUID3=a1b2c3d4-0000-4000-8000-000000000003
sign() { "$PLANTCA" sign "$@"; }
rows() { sqlite3 state/ledger.db 'SELECT count(*) FROM certificate'; }
own() { (cd state && sha256sum ca.crt ca.crl && sqlite3 ledger.db 'SELECT count(*) FROM certificate') 2>&1; }
new_csr "$UUID1" one.key one.csr
new_csr "$UUID2" two.key two.csr
new_csr "$UUID1" other.key other.csr
new_csr "$UUID3" three.key three.csr
mkfifo pipe
ln -s elsewhere link
mkdir folder
BEFORE=$(own)

# --- results onto the CA's own files, by whatever name ---
ln -s state alias
for path in state/ledger.db state/ledger.db-wal state/ledger.db-owners state/ca.crt state/ca.crl state/lock state/token.lock alias/ca.crl \
    "$WORK/state/../state/ca.crl" ./state//ca.crt; do
    expect 5 "sign onto $path" sign --plant "$UUID1" one.csr -o "$path" --json
    json "  is refused by name" 'd["error"]["name"] in ("file-own", "file-kind")'
done
expect 5 "a CRL onto the CRL" "$PLANTCA" crl -o state/ca.crl
said 'own files' "and says why"
for act in "audit export" jwt-key "jwt-sign --sub $UUID1 --ttl 1h"; do
    # shellcheck disable=SC2086 # words
    expect 5 "$act onto the ledger" "$PLANTCA" $act -o state/ledger.db --json
    json "  is refused by name" 'd["error"]["name"] == "file-own"'
done
expect 5 "a broker's certificate onto the CA's" "$PLANTCA" broker --new-key broker.key -o state/ca.crt
expect 5 "a broker's key onto a file that the CA will have" "$PLANTCA" broker --new-key state/canary.key -o broker.crt
expect 5 "the configured ledger, elsewhere" sh -c "sed 's|^.ca.|[ledger]\nurl = sqlite:$WORK/folder/my.db\n&|' plantca.conf >elsewhere.conf &&
    exec \"$PLANTCA\" -c elsewhere.conf sign --plant $UUID1 one.csr -o folder/my.db"
mkdir -p published/ca
for path in plantca.conf ./folder/../pin alias/../plantca.conf published/ca/ca.crt published/ca/ca.crl; do
    expect 5 "a CRL onto $path" "$PLANTCA" crl -o "$path" --json
    json "  is refused by name" 'd["error"]["name"] == "file-own"'
done
cp pin other.pin
expect 5 "a chain onto the PIN that it was signed with" sign --plant "$UUID1" one.csr --pin-file other.pin -o other.pin
same "$(cat pin other.pin)" "$(printf '246810\n246810')" "the PIN stands"
check "a file of another name beside them" sign -n --plant "$UUID1" one.csr -o state/one.crt
same "$(own)" "$BEFORE" "certificate, CRL and record stand"

# --- requests ---
for path in pipe folder link; do
    case $path in link) want=1 ;; *) want=5 ;; esac
    expect $want "a request that is a $path" timeout 20 "$PLANTCA" sign --plant "$UUID1" $path
done
head -c 100000 /dev/zero >huge.csr
expect 5 "a huge request" sign --plant "$UUID1" huge.csr --json
json "is refused by name" 'd["error"]["name"] == "request-size"'
: >empty.csr
expect 5 "an empty request" sign --plant "$UUID1" empty.csr
for serial in xyz 0x 12345g '' -1 "$(printf '1%042d' 1)"; do
    expect 2 "a serial that is none: '$serial'" "$PLANTCA" revoke --serial "$serial"
done
same "$(own)" "$BEFORE" "certificate, CRL and record stand"

# --- dates beyond the CA's own ---
sed 's|^\[publish\]|[device]\ndays = 36500\n&|' plantca.conf >long.conf
check "a term that would end after the CA's" "$PLANTCA" -c long.conf sign --plant "$UUID3" three.csr -o three.crt
said 'warning: the CA ends before 36500 days are over' "is cut short, and said to be"
same "$(openssl x509 -in three.crt -noout -enddate)" "$(openssl x509 -in state/ca.crt -noout -enddate)" "to the CA's end"
BEFORE=$(own)

# --- batches ---
batch() { sign --batch "$1" -o "${2:-certs}" --json; }
# manifest CODE WHAT LINE…: a manifest of these lines is refused as a whole.
manifest() {
    local code=$1 what=$2
    shift 2
    printf '%s\n' "$@" >m.csv
    expect "$code" "a manifest: $what" batch m.csv
    same "$(rows)" "$(tail -n 1 <<<"$BEFORE")" "  nothing is on record"
}
manifest 5 "a plant twice" "$UUID1,one.csr" "$UUID1,other.csr"
said 'm\.csv:2' "  names the line"
manifest 5 "the same line twice" "$UUID1,one.csr" "$UUID1,one.csr"
manifest 5 "a UUID that is none" "plant-7,one.csr"
manifest 5 "a UUID in capitals" "${UUID1^^},one.csr"
manifest 2 "no path" "$UUID1"
manifest 2 "three columns" "$UUID1,one.csr,more"
manifest 2 "an open quotation" "$UUID1,\"one.csr"
expect 1 "a manifest that is not there" batch none.csv
expect 5 "a manifest that is a FIFO" timeout 20 "$PLANTCA" sign --batch pipe -o certs
expect 2 "a manifest of zeros" batch huge.csr
expect 2 "no folder to write to" sign --batch m.csv
for path in pipe link one.csr; do
    printf '%s\n' "$UUID1,one.csr" >m.csv
    case $path in link) want=1 ;; *) want=5 ;; esac
    expect $want "the results into a $path" batch m.csv "$path"
done
mkdir twice && cp one.csr "twice/$UUID1.csr" && cp other.csr "twice/$UUID1.pem"
expect 5 "a folder with two files for one plant" batch twice
same "$(rows)" "$(tail -n 1 <<<"$BEFORE")" "nothing is on record"

# One that is bad does not stop the others.
mkdir some
cp one.csr "some/$UUID1.csr"
cp huge.csr "some/$UUID2.csr"
mkfifo "some/$UUID3.csr"
expect 5 "a folder with a good request, a huge one and a FIFO" timeout 60 "$PLANTCA" sign --batch some -o certs
check "the good one has its certificate" openssl verify -CAfile state/ca.crt "certs/$UUID1.crt"
same "$(ls certs/*.crt)" "certs/$UUID1.crt" "and nobody else"
mkdir places && ln -s elsewhere "places/$UUID2.crt"
printf '%s\n' "$UUID2,two.csr" >m.csv
expect 5 "a link where a certificate would go" batch m.csv places
same "$(readlink "places/$UUID2.crt") $(ls elsewhere 2>/dev/null)" "elsewhere " "is left, and not followed"
check "the record is sound after all of this" "$PLANTCA" audit verify
NOW=$(rows)
# The last: after it, the clock has gone back.
expect 5 "a CA that has ended" days_later 3700 "$PLANTCA" sign --plant "$UUID2" two.csr -o two.crt
same "$(ls two.crt 2>/dev/null; rows)" "$NOW" "signs nothing"
finish
