#!/usr/bin/env bash
# What a technician does beside a PLC whose files are damaged: each file of the current set emptied, cut off, overwritten or
# removed, and the link to it lost; with one set and with two.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
ours() { swtpm_handles persistent | grep '^0x8102' | xargs; }
damage() {
    case $1 in
    emptied) : >"$2" ;;
    cut) truncate -s $(($(stat -c %s "$2") / 2)) "$2" ;;
    overwritten) head -c 700 /dev/urandom >"$2" ;;
    removed) rm "$2" ;;
    esac
}
restore() { rm -rf voke && cp -a "$1" voke; }

openssl_ca ours
"$PLANTCERT" request -q -o one.csr
openssl_sign ours "$UUID1" one.csr one.crt
"$PLANTCERT" install -q --ca ours.crt one.crt
cp -a voke one.kept
one=$(ours)

# matrix KEPT CHAIN ROLLBACK KIND…: these damages to each file of the current set of KEPT, whose certificate is CHAIN; ROLLBACK is its exit
# code.
matrix() {
    local kept=$1 chain=$2 back=$3 handles current file kind what
    shift 3
    handles=$(ours)
    current=$(readlink "$kept/current")
    for file in ca.crt device.crt device.tpm record; do
        for kind in "$@"; do
            what="$current/$file $kind"
            restore "$kept"
            damage "$kind" "voke/$current/$file"
            expect 5 "$what: status" "$PLANTCERT" status --offline --json
            json "says which and why" \
                'd["state"] == "damaged" and d["next"] and d["damage"].split(":")[0].endswith("'"$current/$file"'") and d["error"]["name"] == "state-damaged"'
            expect 5 "$what: check" "$PLANTCERT" check
            grep -q "^Next.*install" out && grep -q "$current/$file" out
            same $? 0 "says the same"
            expect 5 "$what: forget" "$PLANTCERT" forget --json
            json "loses nothing" 'd["error"]["name"] == "key-in-use"'
            expect "$back" "$what: rollback" "$PLANTCERT" rollback
            [ "$back" != 0 ] || check "$what: good again" "$PLANTCERT" check
            check "$what: install" "$PLANTCERT" install --ca ours.crt "$chain"
            check "$what: good" "$PLANTCERT" check
            same "$(serial_of voke/device.crt) $(ours)" "$(serial_of "$chain") $handles" "with the same keys"
        done
    done
}
matrix one.kept one.crt 5 emptied removed

restore one.kept
"$PLANTCERT" rekey -q -o two.csr
openssl_sign ours "$UUID1" two.csr two.crt
"$PLANTCERT" install -q two.crt
cp -a voke two.kept
both=$(ours)
two=${both#"$one "}
same "$(echo "$both" | wc -w)" 2 "two sets, two keys"
matrix two.kept two.crt 0 cut overwritten

# The anchor that is installed stays the anchor, if it is not what is lost.
restore two.kept
: >voke/current/device.tpm
check "a lost key file, with the anchor installed" "$PLANTCERT" install two.crt
restore two.kept
: >voke/current/ca.crt
expect 5 "a lost anchor" "$PLANTCERT" install two.crt --json
json "is asked for" 'd["error"]["name"] == "install-anchor"'

# A key that is taken back, or a new one.
for file in device.tpm device.crt record; do
    restore two.kept
    : >"voke/current/$file"
    check "$file lost: adopt" "$PLANTCERT" keygen --adopt "$two" two.crt
    check "install" "$PLANTCERT" install --ca ours.crt two.crt
    check "good" "$PLANTCERT" check
    same "$(ours)" "$both" "and no key is lost"
done
restore two.kept
: >voke/current/device.crt
: >voke/current/device.tpm
expect 5 "neither key file nor certificate" "$PLANTCERT" renew -o no.csr
check "install by what is in the TPM" "$PLANTCERT" install two.crt
same "$(ours)" "$both" "and no key is lost"
check "confirm" "$PLANTCERT" confirm
same "$(ours)" "$two" "until nothing needs it"
cp -a voke three.kept
handle=$one
for file in device.tpm device.crt ca.crt record; do
    restore three.kept
    : >"voke/current/$file"
    check "$file lost: rekey" "$PLANTCERT" rekey -o new.csr
    case " $(ours) " in *" $two "*) true ;; *) false ;; esac
    same $? 0 "beside the old key"
    openssl_sign ours "$UUID1" new.csr new.crt
    check "install" "$PLANTCERT" install --ca ours.crt new.crt
    check "good" "$PLANTCERT" check
    same "$(ours)" "$handle" "and the old key is gone with its set"
    "$PLANTCERT" renew -q -o back.csr
    "$PLANTCERT" rekey -q -o back.csr
    openssl_sign ours "$UUID1" back.csr two.crt
    "$PLANTCERT" install -q two.crt
    "$PLANTCERT" confirm -q
    same "$(ours)" "$two" "once more"
    rm -rf three.kept && cp -a voke three.kept
done
restore three.kept
: >voke/current/device.crt
check "request" "$PLANTCERT" request -o new.csr
check "forget" "$PLANTCERT" forget
same "$(ours)" "$two" "takes the pending key alone"

# The link.
restore three.kept
name=$(readlink voke/current)
for lost in "rm voke/current" "ln -sfn generations/0999 voke/current"; do
    restore three.kept
    $lost
    expect 5 "$lost: status" "$PLANTCERT" status --json
    json "says so" 'd["state"] == "damaged" and "link" in d["damage"] and d["generation"] == "'"${name#*/}"'"'
    check "check mends it" "$PLANTCERT" check
    same "$(readlink voke/current)" "$name" "as it was"
    $lost
    expect 5 "forget" "$PLANTCERT" forget --json
    json "refuses" 'd["error"]["name"] == "key-in-use"'
    $lost
    check "renew" "$PLANTCERT" renew -o new.csr
    same "$(readlink voke/current) $(ours)" "$name $two" "mends it too"
done
# A set that was written and never current is not made so.
restore three.kept
cp -a "voke/$name" voke/generations/0998
printf '[generation]\nreplaces = %s\nreloaded = no\n' "${name#*/}" >voke/generations/0998/record
rm voke/current
check "a set that a cut left" "$PLANTCERT" check
same "$(readlink voke/current)" "$name" "is not taken"
restore three.kept
rm voke/current
echo rubbish >"voke/$name/record"
expect 5 "what cannot be told" "$PLANTCERT" check --json
json "is said" 'd["state"] == "damaged" and d["next"]'
expect 5 "forget" "$PLANTCERT" forget
check "install" "$PLANTCERT" install --ca ours.crt two.crt
check "good" "$PLANTCERT" check
same "$(ours)" "$two" "with its key"

# Gone back, and the link lost: the older one it is.
"$PLANTCERT" rekey -q -o new.csr
openssl_sign ours "$UUID1" new.csr new.crt
"$PLANTCERT" install -q new.crt
"$PLANTCERT" rollback -q
name=$(readlink voke/current)
rm voke/current
check "rolled back" "$PLANTCERT" check
same "$(readlink voke/current)" "$name" "stays so"
: >voke/current/record
expect 5 "forget --force needs no record" "$PLANTCERT" check
check "forget" "$PLANTCERT" forget --force
same "$(ours)" "" "nothing is left"
check "nothing is left loaded" swtpm_is_clean
finish
