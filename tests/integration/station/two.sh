#!/usr/bin/env bash
# Two stations' signers on one ledger in PostgreSQL, at the same plants at the same moment: one certificate a plant, nobody is failed
# because another was first, and who has no code holds up nobody.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/station_signer.sh
. "${PC_SOURCE:?}/tests/lib/station_signer.sh"
export PC_LEDGER=postgres
ca_start
cd "$WORK" || exit 1
settings_of_station
echo 'early-renewal = yes' >>plantca.conf
export SHIM_MODULE=$SOFTHSM_MODULE
sed -i "s|^module .*|module = $PC_BUILD/tests/integration/hsm/pkcs11-shim.so|" plantca.conf
cp plantca.conf 1.conf
sed "s|^state .*|state = $WORK/state-2|; s|signer.sock|signer-2.sock|" 1.conf >2.conf
PLANTCA_CONFIG=2.conf "$PLANTCA" ensure || fail "the second station joins"
sql() { postgres_sql plantca "SET search_path = plantcert; $1"; }
at() { # STATION QUESTION…: into STATION.out
    local socket=signer.sock out=$1.out
    [ "$1" = 1 ] || socket=signer-2.sock
    /usr/bin/python3 "$PC_SOURCE/tests/lib/wire.py" "$socket" "${@:2}" >"$out" 2>"$1.err"
}
device() {
    new_csr "$(uuid "$1")" "$2.key" "$2.csr"
    der "$2.csr"
}
allow() { "$PLANTCA" allow --plant "$(uuid "$1")" --code "${@:2}" 2>/dev/null; }
rows() { sql "SELECT count(*) FROM certificate WHERE subject = '$(uuid "$1")'"; }
# number KIND NAME: of the advisory lock that stands for it
number() { echo $((0x$(printf '%s %s' "$1" "$2" | sha256sum | cut -c 1-16) >> 2 << 1 & 0x7ffffffffffffffe)); }
# claims SECONDS SIGNING PLANT…: as soon as so many certificates are in work, another station is at these plants' admissions
claims() {
    local seconds=$1 text="SET application_name = 'claiming'; BEGIN;
        DO \$\$ BEGIN WHILE (SELECT count(*) FROM plantcert.certificate WHERE state = 'signing') < $2 LOOP PERFORM pg_sleep(0.01); END LOOP; END \$\$;"
    shift 2
    for plant; do text+="SELECT pg_advisory_xact_lock($(number admission "$plant"));"; done
    psql -X -q -h "$POSTGRES_DIR" -U postgres -d plantca -c "$text SELECT pg_sleep($seconds)" >claims.out 2>&1 &
    claiming=$!
    PIDS+=("$claiming")
}
claimed() { [ "$(sql "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND application_name = 'claiming'")" != 0 ]; }

both=()
signer_start SHIM_DELAY=C_Sign:700
both+=("$SIGNER")
mv signer.log 1.log
PLANTCA_CONFIG=2.conf signer_start
both+=("$SIGNER")

# Signed at one, while another is at the same plants' admissions.
for n in 1 2 3; do
    device $n $n
    allow $n >$n.code
done
questions=()
for n in 1 2 3; do questions+=("enrol,csr=@$n.csr.der,user=$(uuid $n),code=$(cat $n.code)"); done
claims 2 3 "$(uuid 1)" "$(uuid 2)" "$(uuid 3)"
at 1 "${questions[@]}"
same "$(sort -u 1.out | cut -d ' ' -f 1,2)" "done -" "what was signed while others are at it comes out all the same"
same "$(grep -c 'nothing can be signed' 1.log)" 0 "and nothing stops"

# Without a code nobody is kept from being admitted, and nobody learns that a plant is in work.
device 4 4
code=$(allow 4)
wait "$claiming"
claims 2 0 "$(uuid 4)"
wait_for 10 claimed
at 2 "enrol,csr=@4.csr.der,user=$(uuid 4),code=00000-00000-00000-00000-00000" "enrol,csr=@4.csr.der,user=$(uuid 4)" "enrol,csr=@4.csr.der,user=$(uuid 4),code=$code"
same "$(head -2 2.out | cut -d ' ' -f 1,2 | xargs)" "code-wrong admission-code-wrong code-asked admission-code" "without its code, a plant that is in work is like any other"
same "$(tail -1 2.out | cut -d ' ' -f 1-3)" "pending busy 1" "with it, it is to be asked again soon"
wait "$claiming"
at 2 "enrol,csr=@4.csr.der,user=$(uuid 4),code=$code"
same "$(cut -d ' ' -f 1 2.out)" "done" "and then comes out"

# One code, two keys, two stations.
for n in 11 12 13 14 15 16; do
    device $n "$n-a"
    device $n "$n-b"
    allow $n >$n.code
done
a=() b=()
for n in 11 12 13 14 15 16; do
    a+=("enrol,csr=@$n-a.csr.der,user=$(uuid $n),code=$(cat $n.code)")
    b+=("enrol,csr=@$n-b.csr.der,user=$(uuid $n),code=$(cat $n.code)")
done
at 1 "${a[@]}" &
asking=$!
at 2 "${b[@]}"
wait "$asking"
same "$(cat 1.out 2.out | grep -cvE '^(done -|pending busy|forbidden admission-key) ')" 0 "one code used with two keys at two stations at once"
at 1 "${a[@]}"
at 2 "${b[@]}"
same "$(cat 1.out 2.out | cut -d ' ' -f 1,2 | sort | uniq -c | xargs)" "6 done - 6 forbidden admission-key" "asked again: one key each"
same "$(sql "SELECT count(*) FROM certificate WHERE profile = 'device' AND state = 'current' AND subject IN ($(for n in 11 12 13 14 15 16; do echo "'$(uuid $n)'"; done | paste -sd,))")" 6 "and one certificate"

# One certificate presented at two stations with two new keys.
at 2 "enrol,csr=@11-a.csr.der,user=$(uuid 11),code=$(cat 11.code),save=11.der" "enrol,csr=@11-b.csr.der,user=$(uuid 11),code=$(cat 11.code),save=11.der"
device 11 11-c
device 11 11-d
at 1 "reenrol,csr=@11-c.csr.der,certificate=@11.der" &
asking=$!
at 2 "reenrol,csr=@11-d.csr.der,certificate=@11.der"
wait "$asking"
same "$(cat 1.out 2.out | grep -c '^done ')$(cat 1.out 2.out | grep -cE '^(pending busy|forbidden )')" 11 "one of two new keys at once"
same "$(rows 11)" 2 "is certified"

# The same renewal at both, again and again.
at 2 "enrol,csr=@4.csr.der,user=$(uuid 4),code=$code,save=4.der"
renew=reenrol,csr=@4.csr.der,certificate=@4.der
at 1 $renew $renew $renew $renew &
asking=$!
at 2 $renew $renew $renew $renew
wait "$asking"
same "$(cat 1.out 2.out | grep -cvE '^(done -|pending busy) ')" 0 "a renewal eight times at two stations"
same "$(rows 4)" 2 "is one successor"

# An operator's word that the old key is to be revoked is no word for that key.
current=$(sql "SELECT encode(serial, 'hex') FROM certificate WHERE subject = '$(uuid 4)' AND state = 'current'")
code=$(allow 4 --replace "$current" --revoke-old keyCompromise)
at 2 "enrol,csr=@4.csr.der,user=$(uuid 4),code=$code"
same "$(cut -d ' ' -f 1,2 2.out)" "forbidden identity-replace" "the key that is to be revoked is not certified again in its own place"
device 4 4-new
code=$(allow 4 --replace "$current")
at 2 "enrol,csr=@4.csr.der,user=$(uuid 4),code=$code"
same "$(cut -d ' ' -f 1,2 2.out)" "done -" "a PLC that kept its key gets its certificate where only the overlap ends"

# Octets that are no text.
/usr/bin/python3 -c 'open("bad", "wb").write(b"192.0.2.\xff\xfe")'
at 2 enrol,csr=@4-new.csr.der,from=@bad
same "$(cut -d ' ' -f 1 2.out)" closed "an address that is no text"
at 2 enrol,csr=x,from=@bad
same "$(cut -d ' ' -f 1 2.out)" closed "nor with a request that is none"
at 2 health
same "$(grep -o 'flags=.' 2.out)" "flags=3" "stops nothing"
kill "${both[@]}"
wait "${both[@]}"
check "the audit log of both is sound" "$PLANTCA" audit verify
finish
