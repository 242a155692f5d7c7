#!/usr/bin/env bash
# standby.sh PLANTS: a primary and its synchronous standby, by streaming replication. While a station issues for PLANTS plants the
# primary loses its power and the standby is promoted: nothing that was released is missing from the record, nothing is there twice.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
PLANTS=${1:?}
export PC_LEDGER=postgres
cd "$WORK" || exit 1
ca_prepare
first=$(free_port 2)
second=$((first + 1))
postgres_stop
postgres_run -c listen_addresses=127.0.0.1 -c port="$first" || fail "the primary by TCP"
export PGPORT=$first
sed -i "s|^url .*|url = postgresql://plantca@127.0.0.1:$first,127.0.0.1:$second/plantca?target_session_attrs=read-write|" plantca.conf
check "a CA while there is no standby yet" "$PLANTCA" init -q

# The standby.
mkdir standby
chown --reference="$POSTGRES_DIR" standby
postgres_bin pg_basebackup -h "$POSTGRES_DIR" -p "$first" -U postgres -D "$WORK/standby/data" -R -X stream -c fast || fail "a copy of the primary"
primary=$POSTGRES_DIR POSTGRES_DIR=$WORK/standby
postgres_run -c listen_addresses=127.0.0.1 -c port="$second" || fail "the standby runs"
POSTGRES_DIR=$primary
postgres_sql postgres "ALTER SYSTEM SET synchronous_standby_names = '*'"
postgres_sql postgres "SELECT pg_reload_conf()" >/dev/null
in_step() { [ "$(postgres_sql postgres "SELECT sync_state FROM pg_stat_replication")" = sync ]; }
check "commits wait for it" wait_for 20 in_step
sed "s|127.0.0.1:$first,||; s|?target.*||" plantca.conf >alone.conf
expect 4 "it takes no writes" "$PLANTCA" crl -c alone.conf
said 'standby' "and is told as what it is"
check "and serves who verifies" "$PLANTCA" audit verify -c alone.conf

for i in $(seq "$PLANTS"); do printf 'c1b2c3d4-0000-4000-8000-%012d\n' "$i"; done >all
"$PC_BUILD/tests/bench/requests" requests - <all || fail "requests"
work() { # until nothing is away or pending any more
    local code=4
    while [ $code = 4 ] || [ $code = 6 ]; do
        "$PLANTCA" sign --batch requests -o issued >log 2>err
        code=$?
        echo $code >>codes
        [ $code != 4 ] || sleep 0.1
    done
}
sql() { postgres_sql plantca "SET search_path = plantcert; $1"; }
issued_by_now() { [ "$(sql "SELECT count(*) FROM certificate WHERE profile = 'device' AND state = 'current'")" -ge "$1" ]; }
work &
worker=$!
wait_for 60 issued_by_now $((PLANTS / 4)) || fail "the station works" "$(cat err)"
postgres_stop immediate
find issued -name '*.crt' -exec cat {} + >released.before
POSTGRES_DIR=$WORK/standby
export PGPORT=$second
lost=$(date +%s%N)
wait_for 20 grep -qx 4 codes || fail "the primary was missed"
postgres_bin pg_ctl -D "$POSTGRES_DIR/data" -w -s promote || fail "the standby is promoted"
had=$(sql "SELECT count(*) FROM certificate WHERE profile = 'device' AND state = 'current'")
wait_for 20 issued_by_now $((had + 1)) || fail "the station goes on" "$(cat err)"
echo "# the station issued again $((($(date +%s%N) - lost) / 1000000)) ms after the primary was gone; $had of $PLANTS were on record"
wait $worker
same "$(tail -1 codes)" 0 "everything was issued"
check "the primary was missed in the middle" test "$had" -lt "$PLANTS"
check "reconcile" "$PLANTCA" reconcile
same "$(sql "SELECT count(*) FROM certificate WHERE state IN ('reserved', 'signing')")" 0 "nothing is unfinished"
same "$(sql "SELECT subject FROM certificate WHERE profile = 'device' AND state = 'current'" | sort | sha256sum)" "$(sort all | sha256sum)" \
    "one current certificate a plant"
same "$(sql "SELECT count(*) - count(DISTINCT serial) FROM certificate")" 0 "no serial twice"
sql "SELECT encode(sha256, 'hex') FROM certificate WHERE state = 'current'" >recorded
find issued -name '*.crt' -exec cat {} + >released
/usr/bin/python3 - >problems <<'PY'
import base64, hashlib, re
recorded = set(open("recorded").read().split())
root = open("state/ca.crt").read()
def leaves(path):
    found = re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END", open(path).read(), re.S)
    return {"".join(pem.split()) for pem in found} - {"".join(root.split("-----")[2].split())}
for path in "released.before", "released":
    if not leaves(path):
        print(path, "is empty")
    for pem in leaves(path):
        if hashlib.sha256(base64.b64decode(pem)).hexdigest() not in recorded:
            print(path, "holds one that is not on record")
PY
same "$(cat problems)" "" "what was released before and after is on record"
check "the audit log holds" "$PLANTCA" audit verify
finish
