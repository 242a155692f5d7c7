#!/usr/bin/env bash
# plantca audit: each way of changing the record behind our back is found and named; what cannot be known is said.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
UUID1=a1b2c3d4-0000-4000-8000-000000000001
UUID2=a1b2c3d4-0000-4000-8000-000000000002
UUID3=a1b2c3d4-0000-4000-8000-000000000003
ca_start
cd "$WORK" || exit 1
audit() { "$PLANTCA" audit "$@"; }
broken() { # RULE TEXT: the last verdict names this rule
    json "$2" 'd["error"]["name"] == "audit-broken" and not d["sound"] and any(f["rule"] == "'"$1"'" for f in d["faults"])'
}
cat >tamper.py <<'PY'
# Changes a ledger as whoever can write to it can: without our code, and with the triggers out of the way.
import hashlib, json, os, re, sqlite3, subprocess, sys

class Server:
    "As much of sqlite3's connection as is needed here, for PostgreSQL. What changes something goes along with the next question."
    def __init__(self, name):
        self.name, self.script = name, "SET search_path = plantcert; SET session_replication_role = replica;"

    def ask(self, text):
        told = subprocess.run(["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", os.environ["POSTGRES_DIR"], "-U", "postgres", "-d", self.name],
                              input=self.script + text, check=True, capture_output=True, text=True).stdout
        self.script = "SET search_path = plantcert; SET session_replication_role = replica;"
        self.rows = [tuple(json.loads(line).values()) for line in told.splitlines()]

    def execute(self, sql, values=()):
        values = iter(values)
        literal = lambda v: r"'\x%s'" % v.hex() if isinstance(v, bytes) else "'%s'" % v.replace("'", "''") if isinstance(v, str) else str(v)
        sql = re.sub(r"(?<![\w'])x'", lambda m: r"'\x", re.sub(r"\?", lambda m: literal(next(values)), sql))
        if sql.startswith("SELECT"):
            self.ask("SELECT row_to_json(t) FROM (%s) t;" % sql)
        else:
            self.script += sql + ";"
        return self

    def fetchall(self):
        return self.rows

    def fetchone(self):
        return self.rows[0]

    def commit(self):
        self.ask("")

rules = []
if os.environ.get("PC_LEDGER") == "postgres":
    db = Server(sys.argv[1])
else:
    db = sqlite3.connect(sys.argv[1] + "/ledger.db")
    rules = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in rules:
        db.execute("DROP TRIGGER " + name)
    db.execute("PRAGMA foreign_keys = OFF")

def forge():
    "Makes the whole chain follow again, after a line was changed."
    previous = "0" * 64
    for seq, line in db.execute("SELECT seq, line FROM audit ORDER BY seq").fetchall():
        told = json.loads(line)
        told["previous"] = previous
        told["seq"] = seq
        line = json.dumps(told, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(line.encode()).hexdigest()
        db.execute("UPDATE audit SET line = ?, sha256 = ? WHERE seq = ?", (line, bytes.fromhex(previous), seq))

def bytes_of(path):
    return open(path, "rb").read()

exec(sys.argv[2])
for _, sql in rules:
    db.execute(sql)
db.commit()
PY
# kept NAME: a copy of the state folder and the ledger; with `${AT[@]}` it is looked at.
kept() {
    rm -rf "$1"
    cp -a state "$1"
    AT=(--state "$WORK/$1")
    in_postgres || return 0
    postgres_sql postgres "DROP DATABASE IF EXISTS \"$1\"" 2>/dev/null
    postgres_sql postgres "CREATE DATABASE \"$1\" TEMPLATE plantca OWNER plantca"
    sed "s|/plantca$|/$1|" "$PLANTCA_CONFIG" >"$1.conf"
    AT+=(-c "$1.conf")
}
# tampered NAME CODE: a copy, changed by Python.
tampered() {
    kept "$1"
    /usr/bin/python3 tamper.py "$1" "$2" || fail "tampering: $2"
}
# found RULE WHAT CODE [OPTION…]
found() {
    local rule=$1 what=$2 code=$3
    shift 3
    tampered changed "$code"
    expect 5 "$what" audit verify --json "${AT[@]}" "$@"
    broken "$rule" "is found: $rule"
}

for n in 1 2 3; do
    uuid="UUID$n"
    new_csr "${!uuid}" "$n.key" "$n.csr"
    check "sign $n" "$PLANTCA" sign -q --plant "${!uuid}" "$n.csr" -o "$n.crt"
done
check "verify" audit verify --json
json "is sound" 'd["sound"] and d["fault_count"] == 0 and d["certificates"] == 5 and d["checkpoints"] == 1 and d["rows_after"] > 0'
json "says what cannot be known" 'any("after the last checkpoint" in u for u in d["unknown"]) and any("same token" in u for u in d["unknown"])'
kept old
OLD=("${AT[@]}")
check "revoke" "$PLANTCA" revoke -q --plant "$UUID1" --reason keyCompromise
check "publish" "$PLANTCA" publish -q
check "checkpoint --ship" audit checkpoint --json --ship "cat >>$WORK/heads"
json "was handed over, with those before" 'd["shipped"] == 3 and d["row"] > 0'
expect 1 "a command that fails" audit checkpoint --json --ship 'exit 3'
check "the next one" audit checkpoint --json --ship "cat >>$WORK/heads"
json "is handed over with the one that was not" 'd["shipped"] == 2'
same "$(grep -c 'BEGIN CMS' heads)" 5 "five heads"
check "for people" audit verify --head heads
said 'Verdict +sound' "sound"
said '5 heads' "with its witnesses"
check "verify needs no token" audit verify -q -c "$(without_token)"
/usr/bin/python3 - <<'PY'
import base64, re
text = open("heads").read()
found = re.findall(r"-----BEGIN ([A-Z ]+)-----\n(.*?)-----END", text, re.S)
open("statement.json", "wb").write(base64.b64decode(found[0][1]))
open("cms.der", "wb").write(base64.b64decode(found[1][1]))
PY
check "OpenSSL verifies it" openssl cms -verify -binary -inform DER -in cms.der -content statement.json -CAfile state/ca.crt \
    -purpose any -out /dev/null
check "export" audit export -o log.jsonl
same "$(wc -l <log.jsonl)" "$(audit export | wc -l)" "a line a row"
sed 's/CHECKPOINT/SOMETHING/' heads >nothing
expect 5 "a file without checkpoints" audit verify --json --head nothing
mkdir heads.d
head -n "$(awk '/END CMS/ {print NR; exit}' heads)" heads >heads.d/first
check "heads and CRLs from several places" audit verify --json --head heads --head heads.d --crl state/ca.crl --crl published/ca/ca.crl
json "count" 'd["heads"] == 6 and d["witnesses"] == 4'
expect 2 "but one CA certificate" audit verify --ca state/ca.crt --ca state/ca.crt
expect 5 "one of several CRLs that is none of ours" audit verify --json --crl state/ca.crl --crl heads
json "is named" '[f["rule"] for f in d["faults"]] == ["crl-foreign"] and "heads" in d["faults"][0]["text"]'
expect 2 "an act that is none" audit judge
expect 2 "an option of another act" audit export --head heads
expect 1 "a CRL that is not there" audit verify --crl nowhere.crl
check "an act after the last checkpoint" "$PLANTCA" broker -q --new-key broker.key -o broker.crt

if ! in_postgres; then
    # An auditor has a copy that only its owner may write to, and the ledger's last rows may still be in the log beside it.
    reader=()
    if [ "$(id -u)" = 0 ]; then
        reader=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    fi
    cp "$PLANTCA" auditors-plantca
    cp -a state copy
    mkdir live
    /usr/bin/python3 - <<'PY'
import shutil, sqlite3
db = sqlite3.connect("copy/ledger.db") # what is open was not carried over
db.execute("UPDATE checkpoint SET shipped_at = 1 WHERE shipped_at IS NULL")
db.execute("PRAGMA user_version = 3") # written, and changes nothing
db.commit()
for name in ("ledger.db", "ledger.db-wal", "ca.crt", "ca.crl"):
    shutil.copy("copy/" + name, "live/" + name)
PY
    same "$(test -s live/ledger.db-wal && ls live/*-shm 2>&1)" "ls: cannot access 'live/*-shm': No such file or directory" "rows in the log alone"
    for copy in copy live; do
        chmod -R a+rX,a-w $copy
        before=$(ls -lA $copy)
        check "$copy: a folder that is only to be read" "${reader[@]}" ./auditors-plantca audit verify --json --state "$WORK/$copy"
        json "$copy: is sound" 'd["sound"] and d["checkpoints"] > 2'
        check "$copy: export" "${reader[@]}" ./auditors-plantca audit export --state "$WORK/$copy"
        same "$(ls -lA $copy)" "$before" "$copy: nothing in it has changed"
    done
    chmod 000 copy/ledger.db
    if [ ${#reader[@]} -gt 0 ]; then
        expect 4 "one that must not be read" "${reader[@]}" ./auditors-plantca audit verify --json --state "$WORK/copy"
    fi
fi

check "--state with a relative path" audit verify -q --state state
if ! in_postgres; then
    expect 5 "from elsewhere" audit verify --state none/state
    said "$WORK/none/state" "is told by its whole path"
fi
found audit-chain "an edited line" "db.execute(\"UPDATE audit SET line = replace(line, '$UUID2', '$UUID3') WHERE seq = (SELECT max(seq) FROM audit WHERE line LIKE '%$UUID2%')\")"
found row-differs "an edited subject" "db.execute(\"UPDATE certificate SET subject = 'x' WHERE subject = '$UUID2'\")"
found row-state "an edited state" "db.execute(\"UPDATE certificate SET state = 'superseded', revoke_after = 9999999999 WHERE subject = '$UUID2'\")"
found certificate-differs "an edited date" "db.execute(\"UPDATE certificate SET not_after = not_after + 1 WHERE subject = '$UUID3'\")"
found row-state "a revocation taken back" "db.execute(\"UPDATE certificate SET state = 'current', revoked_at = NULL, reason = NULL, listed_from = NULL WHERE subject = '$UUID1'\")"
json "and the CRL that lists it tells as well" 'any(f["rule"] == "revocation-lost" for f in d["faults"])'
found row-differs "an edited reason" "db.execute(\"UPDATE certificate SET reason = 4 WHERE subject = '$UUID1'\")"
found key-subject "a key given to another plant" "db.execute(\"UPDATE key SET subject = '$UUID3' WHERE subject = '$UUID2'\")"
found row-missing "a row that was removed" "db.execute(\"DELETE FROM body WHERE certificate = (SELECT id FROM certificate WHERE subject = '$UUID2')\"); db.execute(\"DELETE FROM certificate WHERE subject = '$UUID2'\")"
found audit-chain "with its audit rows" "i = db.execute(\"SELECT id FROM certificate WHERE subject = '$UUID2'\").fetchone()[0]; db.execute('DELETE FROM body WHERE certificate = ?', (i,)); db.execute('DELETE FROM audit WHERE certificate = ?', (i,)); db.execute('DELETE FROM certificate WHERE id = ?', (i,))"
found row-untold "a row that no act made" "db.execute(\"INSERT INTO key (sha256, subject) VALUES (x'$(printf '1%.0s' {1..64})', 'y')\"); db.execute(\"INSERT INTO certificate (issuer, serial, profile, subject, key, state, not_before, not_after, reserved_at) SELECT issuer, x'01', profile, 'y', (SELECT id FROM key WHERE subject = 'y'), 'reserved', not_before, not_after, reserved_at FROM certificate LIMIT 1\")"
found audit-truncated "rows cut off before a checkpoint" "db.execute('DELETE FROM audit WHERE seq > (SELECT max(seq) - 3 FROM checkpoint)')"
found audit-chain "two rows that changed places" "db.execute('UPDATE audit SET seq = 1000 WHERE seq = 5'); db.execute('UPDATE audit SET seq = 5 WHERE seq = 6'); db.execute('UPDATE audit SET seq = 6 WHERE seq = 1000')"
found checkpoint-head "a chain that was forged from beginning to end" "db.execute(\"UPDATE audit SET line = replace(line, '$UUID2', '$UUID3') WHERE line LIKE '%$UUID2%'\"); forge()"
found checkpoint-missing "and its checkpoints removed" "db.execute('DELETE FROM checkpoint'); forge()"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=plantca-audit -keyout mine.key -out mine.crt 2>/dev/null
ledger_sql "SELECT hex(statement) FROM checkpoint ORDER BY id DESC LIMIT 1" | basenc -d --base16 >said.json
openssl cms -sign -binary -nosmimecap -in said.json -signer mine.crt -inkey mine.key -outform DER -out mine.der
found cms-signer "a checkpoint signed by another key" "db.execute('UPDATE checkpoint SET cms = ? WHERE id = (SELECT max(id) FROM checkpoint)', (bytes_of('mine.der'),))"
openssl x509 -in 3.crt -outform DER -out 3.der
found certificate-differs "a certificate of another row" "db.execute(\"UPDATE body SET der = ? WHERE certificate = (SELECT id FROM certificate WHERE subject = '$UUID2')\", (bytes_of('3.der'),))"
found crl-differs "a CRL of another number" "db.execute('UPDATE crl SET der = (SELECT der FROM crl WHERE number = 1) WHERE number = 2')"
beside=audit-chain
! in_postgres || beside=ledger-rules # each station has a chain there
in_postgres || found audit-chain "text behind a NUL" "db.execute('UPDATE audit SET line = line || char(0) || 1 WHERE seq = 3')"
found "$beside" "an act told in a chain beside ours" "told = json.loads(db.execute(\"SELECT line FROM audit WHERE line LIKE '%$UUID2%' ORDER BY seq DESC LIMIT 1\").fetchone()[0]); told.update(act='hold', chain='f' * 32, seq=1, previous='0' * 64); line = json.dumps(told, sort_keys=True, separators=(',', ':')); db.execute('INSERT INTO audit (chain, seq, certificate, line, sha256) VALUES (?, 1, ?, ?, ?)', ('f' * 32, told['row'], line, hashlib.sha256(line.encode()).digest())); db.execute('UPDATE certificate SET state = ?, reason = 6, listed_from = 99, revoked_at = ? WHERE id = ?', ('held', db.execute('SELECT at FROM checkpoint').fetchone()[0], told['row']))"
found ca-certificate "another CA's certificate given" "pass" --ca "$WORK/mine.crt"

# Cut off behind the last checkpoint, audit rows and ledger rows alike: no signature speaks of them.
tampered cut "db.execute('DELETE FROM audit WHERE seq > (SELECT max(seq) + 1 FROM checkpoint)'); [(db.execute('DELETE FROM body WHERE certificate = ?', r), db.execute('DELETE FROM certificate WHERE id = ?', r)) for r in db.execute('SELECT id FROM certificate WHERE id NOT IN (SELECT certificate FROM audit WHERE certificate IS NOT NULL)').fetchall()]"
check "a cut behind the last checkpoint" audit verify --json "${AT[@]}"
json "cannot be known" 'd["sound"] and any("(--head)" in u for u in d["unknown"])'
audit checkpoint -q --ship "cat >$WORK/later"
expect 5 "but to one with a later head" audit verify --json "${AT[@]}" --head later
broken audit-truncated "it is"
expect 5 "an older copy of everything" audit verify --json "${OLD[@]}"
broken crl-newer "is found by the published CRL"
sed '/^dir /d; s|/plantca$|/old|' "$PLANTCA_CONFIG" >alone.conf
check "without one" audit verify --json --state "$WORK/old" -c alone.conf
expect 5 "with one that is given" audit verify --json --state "$WORK/old" -c alone.conf --crl published/ca/ca.crl
broken revocation-lost "what it lists is missed"
expect 5 "or by a head" audit verify --json --state "$WORK/old" -c alone.conf --head later
broken audit-truncated "that was handed over"

if ! in_postgres; then
    # A ledger of the first version: nothing vouches for its log but the log itself, and it is not migrated by who looks.
    mkdir first
    sqlite3 first/ledger.db <"$PC_SOURCE/tests/data/ledger-v1.sql"
    check "a ledger of version 1" audit verify --json --state "$WORK/first" -c alone.conf
    json "is sound" 'd["sound"] and d["rows"] == 31 and d["certificates"] == 9 and d["crls"] == 4'
    json "as far as can be known" 'd["checkpoints"] == 0 and any("31 audit rows" in u for u in d["unknown"])'
    same "$(sqlite3 first/ledger.db 'PRAGMA user_version')" 1 "and stays what it is"
    cp -a first second
    sqlite3 second/ledger.db "DROP TRIGGER audit_fixed; UPDATE audit SET line = replace(line, 'keyCompromise', 'superseded')" \
        "DROP TRIGGER certificate_final; UPDATE certificate SET reason = 4 WHERE state = 'revoked'"
    expect 5 "an edit" audit verify --json --state "$WORK/second" -c alone.conf
    broken audit-chain "is found there, too"
fi

# The audit key's certificate is revoked.
check "revoking it" "$PLANTCA" revoke -q --serial "$(ledger_sql "SELECT lower(hex(serial)) FROM certificate WHERE profile = 'audit'")" \
    --reason keyCompromise
same "$(ledger_sql "SELECT group_concat(state) FROM (SELECT state FROM token_key WHERE role = 'audit' ORDER BY id) AS k")" \
    retired,active "another key takes its place"
check "and signs" audit checkpoint --json
check "what both signed" audit verify --json --head later
json "holds" 'd["sound"]'
found cms-signer "a checkpoint that was signed after the revocation" "a = db.execute(\"SELECT max(seq) FROM audit WHERE line LIKE '%\\\"act\\\":\\\"retire%'\").fetchone()[0]; b = db.execute(\"SELECT max(seq) FROM audit WHERE seq < ? AND line LIKE '%\\\"act\\\":\\\"checkpoint%'\", (a,)).fetchone()[0]; line = dict(db.execute('SELECT seq, line FROM audit').fetchall()); db.execute('UPDATE audit SET line = ? WHERE seq = ?', (line[b], a)); db.execute('UPDATE audit SET line = ? WHERE seq = ?', (line[a], b)); forge()"
finish
