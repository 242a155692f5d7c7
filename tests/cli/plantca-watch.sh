#!/usr/bin/env bash
# plantca watch in a terminal: what is on the screen, keys, sizes, signals; approving and denying through it.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
CLAIM=$(realpath "${1:?the program that asks as a signer does}")
ca_start
cd "$WORK" || exit 1
export CLAIM
claim() { "$CLAIM" "$WORK/state" "$@" >claimed 2>&1; }
hash_of() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
groups() { fold -w4 <<<"$1" | paste -sd' '; }
export TERM=vt100
terminal() { "$PC_SOURCE/tests/cli/terminal.py" "$1" "$2" "$PLANTCA" watch -c "$(without_token)" "${@:3}"; }
k1=$(hash_of k1) k2=$(hash_of k2) k3=$(hash_of k3)

expect 2 "without a terminal" "$PLANTCA" watch
said "plantca pending and plantca list" "it says what to use instead"
expect 2 "as JSON" "$PLANTCA" watch --json
# ncurses itself leaves something behind there, which a sanitizer would tell of.
check "on a terminal that is not known" env TERM=no-such-terminal ASAN_OPTIONS=detect_leaks=0 "$PC_SOURCE/tests/cli/terminal.py" 24x80 "see is not known here
end 2" "$PLANTCA" watch
check "nothing waits" terminal 24x80 "see Nothing waits.
see q quit
keys a
keys d
keys x
keys q
end 0"
"$PLANTCA" allow -q --plant "$UUID1" --pending
"$PLANTCA" allow -q --plant "$UUID2" --pending
claim "$UUID1" k1
check "what waits comes in, and another goes" terminal 24x80 "see WAITING FOR YOUR DECISION: 1
see ${k1:0:16}
run \"\$CLAIM\" state $UUID2 k2 --from 10.9.9.9 >claimed 2>&1 || true
see WAITING FOR YOUR DECISION: 2
see 10.9.9.9
run \"\$PLANTCA\" deny -q $UUID2
see WAITING FOR YOUR DECISION: 1
see denied
see by $(id -un)
keys q
end 0"
"$PLANTCA" allow -q --plant "$UUID2" --pending
claim "$UUID2" k2
claim "$UUID2" k3
check "a question that is not answered with yes" terminal 24x80 "see WAITING FOR YOUR DECISION: 3
keys a
see APPROVE THIS KEY?
see $(groups "${k1:0:32}")
see $(groups "${k1:32}")
keys n
see Nothing was done.
gone APPROVE THIS KEY?
keys q
end 0"
same "$(sqlite3 state/ledger.db "SELECT group_concat(DISTINCT state) FROM waiting WHERE admission <> 2")" waiting "changes nothing"
for size in 8x40 12x80 24x60; do
    check "a question that does not fit $size" terminal 24x80 "see WAITING FOR YOUR DECISION: 3
keys a
see APPROVE THIS KEY?
size $size
see The terminal is too small
keys y
size 24x80
see Nothing was done.
keys q
end 0"
done
same "$(sqlite3 state/ledger.db "SELECT group_concat(DISTINCT state) FROM waiting WHERE admission <> 2")" waiting "is not approved by y"
check "one that just fits" terminal 13x61 "see q quit
keys a
see $(groups "${k1:0:32}")
see $(groups "${k1:32}")
see $UUID1
see y  yes, approve it
keys n
see Nothing was done.
keys q
end 0"
check "the second is approved" terminal 24x80 "see WAITING FOR YOUR DECISION: 3
keys j
see > $UUID2
keys a
see $(groups "${k2:0:32}")
keys y
see Approved: $UUID2 key ${k2:0:16}
see WAITING FOR YOUR DECISION: 1
keys q
end 0"
check "its PLC" claim "$UUID2" k2 --use
check "the first is denied, with the arrow keys" terminal 24x80 "see > $UUID1
keys \\e[A
keys \\e[B
keys d
see DENY THIS KEY?
see $(groups "${k1:32}")
keys y
see Denied: $UUID1 key ${k1:0:16}
see Nothing waits.
keys q
end 0"
expect 5 "and hears of it" claim "$UUID1" k1
same "$(grep -c "this key was denied" claimed)" 1 "by name"

# What was decided elsewhere in the meantime is an error on the screen, and nothing else.
"$PLANTCA" allow -q --plant "$UUID1" --pending
claim "$UUID1" k1
check "a question that comes too late" terminal 24x80 "see > $UUID1
keys a
see APPROVE THIS KEY?
run \"\$PLANTCA\" deny -q $UUID1
keys y
see was denied; allow the plant again
keys q
end 0"
"$PLANTCA" broker -q --cn mqtt.example --new-key broker.key -o broker.crt
check "what is no plant's" terminal 24x80 "see $(serial_of broker.crt | cut -c 1-8) by $(id -un)
keys q
end 0"
new_csr "$UUID1" a.key a.csr
new_csr "$UUID1" b.key b.csr
check "what is issued and refused" terminal 24x80 "see issued 0   refused 0
run \"\$PLANTCA\" sign -q -c plantca.conf --plant $UUID1 a.csr -o a.crt
see issued 1   refused 0
see 1/min
run ! \"\$PLANTCA\" sign -q -c plantca.conf --plant $UUID1 b.csr -o b.crt 2>claimed
see issued 1   refused 1
see REFUSED   $UUID1  identity-current
keys q
end 0"

# Sizes, colours, signals.
"$PLANTCA" allow -q --plant b2c3d4e5-0000-4000-8000-000000000001 --pending
claim b2c3d4e5-0000-4000-8000-000000000001 k3 --from $'10.0.0.7\e[2J\x07'
check "wide, narrow, tiny and back" terminal 24x80 "see WAITING FOR YOUR DECISION: 1
gone $k3
size 40x170
see $k3
size 4x20
see q quit
size 1x1
size 24x80
see WAITING FOR YOUR DECISION: 1
see 10.0.0.7?[2J?
keys q
end 0"
TERM=xterm-256color
check "with colours" terminal 24x80 "see WAITING FOR YOUR DECISION: 1
keys q
end 0"
for name in INT TERM HUP; do
    check "SIG$name leaves the terminal as it was" terminal 24x80 "see WAITING FOR YOUR DECISION: 1
kill $name
end -$(kill -l $name)"
done
check "as does one during a question" terminal 24x80 "see WAITING FOR YOUR DECISION: 1
keys a
see APPROVE THIS KEY?
kill TERM
end -15"
check "the audit log" "$PLANTCA" audit verify --json
json "tells of all that" 'd["sound"]'
finish
