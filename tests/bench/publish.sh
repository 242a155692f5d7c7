#!/usr/bin/env bash
# publish.sh COUNT REVOKED: how long crl, revoke and publish take beside COUNT valid certificates and REVOKED revoked ones.
# 1,000 are signed by a token; all other rows are filled in, past the ledger's rules, and carry the body of one that was signed, since
# publication reads and verifies bodies.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
count=${1:-10000} revoked=${2:-10000}
bench=$PC_BUILD/tests/bench
ca_start
cd "$WORK" || exit 1
timed() {
    local start end
    start=$(date +%s%N)
    "${@:2}" >out 2>err || echo "# failed: $(head -c 500 err)"
    end=$(date +%s%N)
    printf '%-44s %6d ms\n' "$1" $(((end - start) / 1000000))
}
"$bench/requests" "$WORK/requests" 1000
timed "sign --batch (1000)" "$PLANTCA" sign -q --batch "$WORK/requests" -o "$WORK/issued"
"$bench/fill" state/ledger.db $((count - 1000 + revoked))
triggers=$(sqlite3 state/ledger.db "SELECT sql || ';' FROM sqlite_master WHERE type = 'trigger'")
sqlite3 state/ledger.db "SELECT 'DROP TRIGGER ' || name || ';' FROM sqlite_master WHERE type = 'trigger'" | sqlite3 state/ledger.db
sqlite3 state/ledger.db <<SQL
CREATE TEMP TABLE real AS SELECT c.id, c.sha256, b.der FROM certificate c JOIN body b ON b.certificate = c.id
    WHERE c.profile = 'device' AND c.not_after > unixepoch() ORDER BY c.id LIMIT 1;
UPDATE body SET der = (SELECT der FROM real) WHERE certificate > (SELECT id + 999 FROM real);
UPDATE certificate SET sha256 = (SELECT sha256 FROM real), issuer = 1, not_after = max(not_after, unixepoch() + 86400)
    WHERE id > (SELECT id + 999 FROM real);
UPDATE certificate SET state = 'revoked', revoked_at = unixepoch(), reason = 5,
    listed_from = (SELECT max(number) + 1 FROM crl) WHERE id IN
    (SELECT id FROM certificate WHERE profile = 'device' ORDER BY id DESC LIMIT $revoked);
$triggers
SQL
"$PLANTCA" list --valid --json | wc -l | sed 's/^/# valid: /'
timed "crl ($revoked entries)" "$PLANTCA" crl
openssl crl -in state/ca.crl -noout -text | grep -c 'Serial Number' | sed 's/^/# entries: /'
timed "crl again" "$PLANTCA" crl
timed "revoke one" "$PLANTCA" revoke --plant "$(find requests -name '*.csr' -printf '%f\n' | head -n 1 | sed 's/.csr$//')"
timed "publish -n, nothing there yet" "$PLANTCA" publish -n
timed "publish, all files new" "$PLANTCA" publish --json
sed 's/^/# /' out
timed "publish -n, old files against new" "$PLANTCA" publish -n --json
timed "publish, nothing changed" "$PLANTCA" publish --json
sed 's/^/# /' out
timed "revoke another" "$PLANTCA" revoke --plant "$(find requests -name '*.csr' -printf '%f\n' | tail -n 1 | sed 's/.csr$//')"
timed "publish after it" "$PLANTCA" publish --json
sed 's/^/# /' out
stat -c '# CRL: %s bytes as PEM' state/ca.crl
