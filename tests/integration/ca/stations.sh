#!/usr/bin/env bash
# stations.sh STATIONS PLANTS: many stations on one ledger. Each is a process with a state folder and a token of its own (a copy, as
# replicas of a network HSM have it); they issue for PLANTS plants, a tenth of which two of them want with different keys. One is
# killed in the middle and never comes back to it; the database crashes and comes back. What must hold is then read from the
# database, the files and the audit chains.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
STATIONS=${1:?} PLANTS=${2:?}
export PC_LEDGER=postgres
cd "$WORK" || exit 1
ca_start
sql() { postgres_sql plantca "SET search_path = plantcert; $1"; }

# Station 1 made the CA. Each other has a folder, a token, a configuration.
cp "$PLANTCA_CONFIG" 1.conf
ln -s "$SOFTHSM2_CONF" 1.softhsm
for i in $(seq 2 "$STATIONS"); do
    cp -r softhsm "softhsm-$i"
    sed "s|^directories.tokendir.*|directories.tokendir = $WORK/softhsm-$i/tokens|" "$SOFTHSM2_CONF" >"$i.softhsm"
    sed "s|^state .*|state = $WORK/state-$i|" 1.conf >"$i.conf"
done
station() {
    local i=$1
    shift
    SOFTHSM2_CONF=$WORK/$i.softhsm PLANTCA_CONFIG=$WORK/$i.conf "$PLANTCA" "$@"
}

# Who may join.
mkdir -p empty/tokens
sed "s|^directories.tokendir.*|directories.tokendir = $WORK/empty/tokens|" "$SOFTHSM2_CONF" >empty.softhsm
sed "s|^state .*|state = $WORK/state-empty|" 1.conf >empty.conf
SOFTHSM2_CONF=$WORK/empty.softhsm softhsm2-util --init-token --free --label voke-ca --pin 246810 --so-pin 1234 >/dev/null
expect 5 "a token without the CA's key does not join" station empty ensure
said 'key' "and is told so"
same "$(find state-empty -name 'ca.*' 2>/dev/null | wc -l)" 0 "nothing was written"
mkdir state-2
echo x >state-2/mine
expect 5 "nor does a folder that holds something" station 2 ensure
rm -r state-2
for i in $(seq 2 "$STATIONS"); do station "$i" ensure || fail "station $i joins" "exit $?"; done
check "a station that has joined is sound" station 2 ensure
same "$(sha256sum <state/ca.crt)" "$(sha256sum <state-2/ca.crt)" "it has the CA's certificate"
same "$(mode state-2/chain)" 600 "its chain's name is its own"

# Everyone's plants; every tenth is wanted by two.
/usr/bin/python3 - "$STATIONS" "$PLANTS" <<'PY'
import sys, uuid
stations, plants = int(sys.argv[1]), int(sys.argv[2])
lists = [[] for _ in range(stations)]
with open("all", "w") as all, open("contested", "w") as contested:
    for n in range(plants):
        name = str(uuid.uuid4())
        print(name, file=all)
        lists[n % stations].append(name)
        if n // stations % 10 == 0:
            print(name, file=contested)
            lists[(n + 1) % stations].append(name)
for i, names in enumerate(lists, 1):
    with open("%d.list" % i, "w") as file:
        print("\n".join(names), file=file)
PY
for i in $(seq "$STATIONS"); do "$PC_BUILD/tests/bench/requests" "requests-$i" - <"$i.list" || fail "requests of station $i"; done

# work STATION: until nothing is away or pending any more.
work() {
    local code=4
    while [ $code = 4 ] || [ $code = 6 ]; do
        station "$1" sign --batch "requests-$1" -o "out-$1" >"$1.log" 2>"$1.err"
        code=$?
        echo $code >>"$1.codes"
        [ $code != 4 ] || sleep 0.2
    done
}
issued_by_now() { [ "$(sql "SELECT count(*) FROM certificate WHERE profile = 'device' AND state = 'current'")" -ge "$1" ]; }

start=$(date +%s%N)
WORKERS=()
for i in $(seq 2 "$STATIONS"); do
    work "$i" &
    WORKERS+=($!)
done
station 1 sign --batch requests-1 -o out-1 >1.log 2>1.err &
victim=$!
wait_for 300 issued_by_now $((PLANTS / 10)) || fail "stations work" "$(cat ./*.err)"
kill -9 $(pgrep -P $victim) $victim 2>/dev/null
wait $victim 2>/dev/null
wait_for 300 issued_by_now $((PLANTS / 4)) || fail "the others go on" "$(cat ./*.err)"
postgres_stop immediate
postgres_run || fail "the database comes back"
wait "${WORKERS[@]}"
for i in $(seq 2 "$STATIONS"); do
    case $(tail -1 "$i.codes") in 0 | 5) ;; *) fail "station $i" "$(cat "$i.codes" "$i.err")" ;; esac
done
check "the database was missed" grep -qx 4 ./*.codes

# What the killed one left is finished by another station, and then there is nothing left to do.
left=$(sql "SELECT count(*) FROM certificate WHERE state IN ('reserved', 'signing')")
check "reconcile by another station ($left rows were left)" station 2 reconcile
same "$(sql "SELECT count(*) FROM certificate WHERE state IN ('reserved', 'signing')")" 0 "leaves nothing unfinished"
WORKERS=()
work 1
spent=$((($(date +%s%N) - start) / 1000000))
same "$(sql "SELECT count(*) - count(DISTINCT subject) FROM certificate WHERE profile = 'device' AND state = 'current'")" 0 \
    "one current certificate a plant"
same "$(sql "SELECT subject FROM certificate WHERE profile = 'device' AND state = 'current'" | sort | sha256sum)" \
    "$(sort all | sha256sum)" "every plant has one, and nobody else"
same "$(sql "SELECT count(*) - count(DISTINCT serial) FROM certificate")" 0 "no serial twice"
same "$(sql "SELECT count(*) FROM (SELECT key FROM certificate GROUP BY key HAVING count(DISTINCT subject) > 1) AS k")" 0 \
    "no key of two plants"

# What was released, by its bytes.
sql "SELECT encode(sha256, 'hex') FROM certificate WHERE state = 'current'" >recorded
/usr/bin/python3 - >released.problems <<'PY'
import base64, glob, hashlib, os, re
recorded, owner = set(open("recorded").read().split()), {}
for path in glob.glob("out-*/*.crt"):
    pem = re.search(r"BEGIN CERTIFICATE-----(.*?)-----END", open(path).read(), re.S).group(1)
    if hashlib.sha256(base64.b64decode(pem)).hexdigest() not in recorded:
        print(path, "is not on record")
    if owner.setdefault(os.path.basename(path), path) != path:
        print(path, "was released to two stations")
if len(owner) < len(open("all").read().split()):
    print("only", len(owner), "were released")
PY
same "$(cat released.problems)" "" "what was released is on record, each to one station"
check "the audit chains are sound" station 2 audit verify
same "$(sql "SELECT count(DISTINCT chain) FROM audit")" "$STATIONS" "there is one a station"
check "nothing to reconcile" station 2 reconcile --json
json "nor was there" 'd["steps"] == []'
echo "# $PLANTS plants by $STATIONS stations in $spent ms, a kill and a crash included; $left rows were left"
finish
