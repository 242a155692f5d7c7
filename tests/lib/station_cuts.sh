# shellcheck shell=bash
# PLCs whose enrolment at a real station is cut off, and what must be there when the same is run again. Sourced after setup.sh and station.sh, with
# a station that serves, and a PLC's configuration that names it; $INTERCEPT cuts.
CUT_PLANTS=0

# cut_plant: another plant, admitted by a code; its PLC has nothing. Sets CUT_UUID.
cut_plant() {
    CUT_PLANTS=$((CUT_PLANTS + 1))
    CUT_UUID=$(printf 'c0000000-0000-4000-8000-%012d' "$CUT_PLANTS")
    [ ! -e cut ] || "$PLANTCERT" forget --force -q -c cut.conf
    rm -rf cut cut.code && mkdir cut
    sed "s|^plant .*|plant = $CUT_UUID|; s|^dir .*|dir = $WORK/cut|; s|^\[station\]|&\ncode-file = $WORK/cut.code|" "$PLANTCERT_CONFIG" >cut.conf
    "$PLANTCA" allow --plant "$CUT_UUID" --code --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["code"])' >cut.code
    chmod 600 cut.code
}

# cut_done WAY: whether the folder holds what WAY comes to: a set, for a renewal or a rekey the second one.
cut_done() {
    [ -e cut/current ] || return 1
    [ "$1" = enroll ] || "$PLANTCERT" status --offline --json -c cut.conf | /usr/bin/python3 -c 'import json, sys; sys.exit(not json.load(sys.stdin)["previous"])'
}

# cut_left: the folder's names, without those that are random or of one generation.
cut_left() { (cd cut && find . -mindepth 1 | sed -E 's|generations/[0-9]+|generations/N|; s/[0-9a-f]{8,}/X/g' | sort | uniq -c); }

# cut_whole WAY: one certificate is current, and it is the PLC's; nothing more was issued than WAY comes to, and nothing is left over.
cut_whole() {
    local want=2 keys=1
    [ "$1" != enroll ] || want=1
    [ "$1" != rekey ] || keys=2
    "$PLANTCERT" check -q -c cut.conf || return 1
    "$PLANTCA" show "$CUT_UUID" --json >cut.show || return 1
    /usr/bin/python3 - "$(serial_of cut/device.crt)" "$want" <<'PY' || return 1
import json, sys
rows = [json.loads(line) for line in open("cut.show")]
current = [row["serial"] for row in rows if row["state"] == "current"]
if current != [sys.argv[1]] or len(rows) != int(sys.argv[2]):
    sys.exit("installed %s, on record %r" % (sys.argv[1], [(row["serial"], row["state"]) for row in rows]))
PY
    [ "$(swtpm_handles persistent | grep -c '^0x8102')" = "$keys" ] || { echo "keys: $(swtpm_handles persistent)" && return 1; }
    swtpm_is_clean || return 1
    cut_left >cut.left
    diff "cut.whole.$1" cut.left
}

# cut_undisturbed WAY: what it leaves when nothing goes wrong, for cut_whole.
cut_undisturbed() {
    cut_plant
    [ "$1" = enroll ] || "$PLANTCERT" enroll -q -c cut.conf || return 1
    "$PLANTCERT" "$1" -q -c cut.conf || return 1
    cut_left >"cut.whole.$1"
    cut_whole "$1"
}

# cut_at SIGNAL WAY N: a fresh PLC's WAY (enroll; renew, rekey with a first set) meets SIGNAL (kill, term) before its Nth call; then the boot's
# enroll and, where that set is not the one yet, WAY again. CUT_OVER=yes when the run came to its end before.
cut_at() {
    local met
    CUT_OVER=no
    cut_plant
    [ "$2" = enroll ] || "$PLANTCERT" enroll -q -c cut.conf || return 1
    "$INTERCEPT" "$1" "$3" changes cut.calls "$PLANTCERT" "$2" -q -c cut.conf >cut.out 2>&1
    met=$?
    case $1$met in
    *0) CUT_OVER=yes ;;
    kill137 | term143) ;;
    *) echo "cut off, it exits with $met" && return 1 ;;
    esac
    [ "$CUT_OVER" = yes ] || [ "$2" = enroll ] || "$PLANTCERT" enroll -q -c cut.conf || return 1
    cut_done "$2" || "$PLANTCERT" "$2" -q -c cut.conf || return 1
    cut_whole "$2"
}
