#!/usr/bin/env bash
# plantca signer, asked by a network service that lies: any certificate, any UUID, wrong lengths. It gives what the rules give.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/lib/station_signer.sh
. "${PC_SOURCE:?}/tests/lib/station_signer.sh"
need sqlite3
ca_start
cd "$WORK" || exit 1
settings_of_station
row() { sqlite3 state/ledger.db "SELECT count(*) FROM certificate WHERE $1"; }
# device N, UUID of N: key and request alone
device() {
    new_csr "$(uuid "$1")" "$1.key" "$1.csr"
    der "$1.csr"
}
same_certificate() { if cmp -s "$1" "$2"; then pass "$3"; else fail "$3"; fi; }

expect 3 "a wrong PIN" "$PLANTCA" signer --pin-file <(echo 000000)
expect 4 "the token cannot be reached" "$PLANTCA" signer -c "$(without_token)"
touch there
sed "s|^socket .*|socket = $WORK/there|" plantca.conf >there.conf
expect 5 "something else stands in the socket's place" "$PLANTCA" signer -c there.conf
sed "s|^socket .*|socket = $WORK/none/signer.sock|" plantca.conf >none.conf
expect 2 "the socket's folder is not there" "$PLANTCA" signer -c none.conf
said "the folder $WORK/none: No such file.*install -d -m 2750 -o plantca -g plantca-net $WORK/none" "... which is named, and how it is made"
expect 2 "an operand" "$PLANTCA" signer now
before=$(row 1)

signer_start
same "$(stat -c '%A %G' signer.sock)" "srw-rw---- $(id -gn nobody)" "the socket is for the network service's group"
expect 5 "where one listens, another does not" "$PLANTCA" signer
check "its socket stays" test -S signer.sock
ask_as() { setpriv --reuid "$1" --regid "$(id -g nobody)" --clear-groups /usr/bin/python3 "$PC_SOURCE/tests/lib/wire.py" "$WORK/signer.sock" trust; }
check "the network service may ask" ask_as nobody
expect 1 "another user may not, though the group lets them in" ask_as 12345
signer_said 'user 12345 may not connect' "and that is told"

answered "what it trusts" "done" - trust,save=root.der
same_certificate root.der <(openssl x509 -in state/ca.crt -outform DER) "is the root"
answered "the label device" "done" - trust,label=device
answered "another label" nowhere station-label trust,label=broker
answered "binding is not required" "done" - attributes
answered "its health" "done" - health

# Default deny.
device 1
answered "nobody was admitted" unknown admission-none enrol,csr=@1.csr.der
answered "with a code that was never made" unknown admission-none "enrol,csr=@1.csr.der,user=$(uuid 1),code=00000-00000-00000-00000-00000"
answered "for another plant than the request's" bad request-plant "enrol,csr=@1.csr.der,user=$(uuid 2)"
answered "another label" nowhere station-label enrol,csr=@1.csr.der,label=broker
answered "no request" bad request-der enrol,csr=0
new_csr plantca-station station.key station.csr && der station.csr
answered "no plant's name" bad request-cn-uuid enrol,csr=@station.csr.der
same "$(row 1)" "$before" "nothing of this made a certificate"

code=$("$PLANTCA" allow --plant "$(uuid 1)" --code 2>/dev/null)
new_csr "$(uuid 1)" other.key other.csr && der other.csr
refusals=$(sqlite3 state/ledger.db "SELECT count(*) FROM audit WHERE json_extract(line, '$.outcome') = 'refused'")
answered "no code" code-asked admission-code "enrol,csr=@1.csr.der,user=$(uuid 1)"
same "$(sqlite3 state/ledger.db "SELECT count(*) FROM audit WHERE json_extract(line, '$.outcome') = 'refused'")" "$refusals" "that is no refusal on record"
answered "a wrong code" code-wrong admission-code-wrong "enrol,csr=@1.csr.der,user=$(uuid 1),code=00000-00000-00000-00000-00000"
same "$(sqlite3 state/ledger.db "SELECT count(*) FROM audit WHERE json_extract(line, '$.rule') = 'admission-code-wrong'")" 1 "that one is"
answered "the code" "done" - "enrol,csr=@1.csr.der,user=$(uuid 1),code=$code,save=1.crt.der"
check "its certificate is good" openssl verify -CAfile state/ca.crt -purpose sslclient <(openssl x509 -inform DER -in 1.crt.der)
answered "asked again, the reply was lost" "done" - "enrol,csr=@1.csr.der,user=$(uuid 1),code=$code,save=again"
same_certificate 1.crt.der again "the same certificate"
answered "the code with another key" forbidden admission-key "enrol,csr=@other.csr.der,user=$(uuid 1),code=$code"
same "$(row "profile = 'device'")" 1 "one certificate"

device 2
check "by approval" "$PLANTCA" allow --plant "$(uuid 2)" --pending
ask enrol,csr=@2.csr.der enrol,csr=@2.csr.der
same "$(sort -u out | cut -d ' ' -f 1-3)" "pending admission-waiting 30" "waits for an operator"
print=$(openssl pkey -in 2.key -pubout -outform DER | sha256sum | cut -c 1-64)
check "approved" "$PLANTCA" approve "$(uuid 2)" "$print"
answered "then it is issued" "done" - enrol,csr=@2.csr.der,save=2.crt.der

# Re-enrolment, whatever certificate the network service claims to have seen.
plant 3
openssl_ca stranger
openssl_sign stranger "$(uuid 1)" 1.csr foreign.crt && der foreign.crt
same "$(openssl x509 -in foreign.crt -noout -subject)" "subject=CN = $(uuid 1)" "a certificate of another CA with a plant's name"
answered "no certificate" unknown reenrol-certificate reenrol,csr=@1.csr.der
answered "of another CA" forbidden reenrol-foreign reenrol,csr=@1.csr.der,certificate=@foreign.crt.der
answered "the root's" forbidden reenrol-profile reenrol,csr=@1.csr.der,certificate=@root.der
answered "none at all" forbidden reenrol-foreign reenrol,csr=@1.csr.der,certificate=x
answered "of another plant" bad request-plant reenrol,csr=@1.csr.der,certificate=@3.crt.der
answered "outside the window" forbidden identity-window reenrol,csr=@1.csr.der,certificate=@1.crt.der
answered "with another key, outside the window" forbidden identity-window reenrol,csr=@other.csr.der,certificate=@1.crt.der
answered "a code has no place there" closed - "reenrol,csr=@1.csr.der,certificate=@1.crt.der,code=$code"
same "$(row "profile = 'device'")" 3 "nothing of this made a certificate"
kill "$SIGNER"
signer_ended 0 "stopped"
check "its socket is gone" test ! -e signer.sock

echo 'early-renewal = yes' >>plantca.conf
signer_start
answered "early-renewal" "done" - reenrol,csr=@1.csr.der,certificate=@1.crt.der,save=1b.der
answered "the old one again, the reply was lost" "done" - reenrol,csr=@1.csr.der,certificate=@1.crt.der,save=again
same_certificate 1b.der again "gives the successor"
answered "renewed a moment ago" "done" - reenrol,csr=@1.csr.der,certificate=@1b.der,save=again
same_certificate 1b.der again "it is given again: who replays makes no heap"
answered "a superseded one with another key" forbidden reenrol-superseded reenrol,csr=@other.csr.der,certificate=@1.crt.der
answered "the key is changed" "done" - reenrol,csr=@other.csr.der,certificate=@1b.der,save=1c.der
answered "again, the reply was lost" "done" - reenrol,csr=@other.csr.der,certificate=@1b.der,save=again
same_certificate 1c.der again "the same certificate"
new_csr "$(uuid 1)" third.key third.csr && der third.csr
answered "changed again on the same day" forbidden reenrol-rekey reenrol,csr=@third.csr.der,certificate=@1c.der
answered "back to the first key" forbidden reenrol-rekey reenrol,csr=@1.csr.der,certificate=@1c.der
check "on hold" "$PLANTCA" hold --plant "$(uuid 3)"
answered "one on hold" forbidden identity-held reenrol,csr=@3.csr.der,certificate=@3.crt.der
check "revoked" "$PLANTCA" revoke --plant "$(uuid 2)" --reason keyCompromise
answered "a revoked one" forbidden identity-revoked reenrol,csr=@2.csr.der,certificate=@2.crt.der
answered "and its key, by approval" forbidden identity-revoked enrol,csr=@2.csr.der
same "$(row "subject = '$(uuid 1)' AND state = 'current'")$(row "subject = '$(uuid 1)'")" 13 "one is current, of three"

# Many at once, of one plant: one certificate.
device 4
code=$("$PLANTCA" allow --plant "$(uuid 4)" --code 2>/dev/null)
one="enrol,csr=@4.csr.der,user=$(uuid 4),code=$code"
ask "$one" "$one" "$one" "$one" "$one" "$one" "$one" "$one"
same "$(grep -cE '^(done|pending busy)' out)" 8 "the same request eight times at once"
same "$(row "subject = '$(uuid 4)'")" 1 "is one certificate"

# The server's own.
answered "a server certificate" "done" - server,csr=@station.csr.der,save=station.der
openssl x509 -inform DER -in station.der -out station.crt
check "is good for its name, and for a week" openssl verify -CAfile state/ca.crt -purpose sslserver -verify_hostname localhost station.crt
expect 1 "not for eight days" openssl x509 -in station.crt -noout -checkend $((8 * 86400))
expect 2 "and not for a client" openssl verify -CAfile state/ca.crt -purpose sslclient station.crt
answered "with a plant's name in its request" bad request-host server,csr=@1.csr.der
for n in 1 2 3 4 5 6 7 8; do
    new_csr plantca-station "s$n.key" "s$n.csr" && der "s$n.csr"
    ask "server,csr=@s$n.csr.der"
    cut -d ' ' -f 1 out
done >servers
same "$(grep -c 'done' servers)" 4 "who asks on and on gets no heap of them"
check "status does not count them" "$PLANTCA" status --json
json "as plants" "d['certificates']['current'] == $(row "profile = 'device' AND state = 'current'")"

# Bytes that are none of ours end the connection, and no more.
for raw in 00000000 0000000901 ffffffff01 0000000a020000000000000000ff 0000000a01ff0000000000000000 474554202f20485454502f312e310d0a0d0a \
    0000000f0102000000000000000001ffffffff 0000001001020000000000000000090000000178; do
    answered "hostile bytes: ${raw:0:24}" closed - "trust,raw=$raw"
done
answered "it still answers" "done" - health

# Refusals do not fill the record.
refusals() { sqlite3 state/ledger.db "SELECT count(*) FROM audit WHERE line LIKE '%\"outcome\":\"refused\"%'"; }
before=$(refusals)
questions=()
for n in $(seq 200); do
    questions+=("enrol,csr=@1.csr.der,user=$(uuid 9),from=192.0.2.$((n % 250))" "enrol,csr=x,from=198.51.100.$n" "enrol,csr=@1.csr.der")
done
ask "${questions[@]}"
same "$(wc -l <out)" 600 "six hundred refusals are answered"
same "$(($(refusals) - before <= 121))" 1 "at most sixty a minute are on record"
kill "$SIGNER"
signer_ended 0 "stopped"
check "the audit log is sound" "$PLANTCA" audit verify
same "$(grep -c "$code" signer.log)" 0 "no code is in the log"

sed -i 's/^early-renewal.*/binding = yes/' plantca.conf
signer_start
answered "binding is required" "done" - attributes
same "$(cut -d ' ' -f 5- out)" " binding=1" "and said so"
answered "no challengePassword" bad binding-missing "enrol,csr=@4.csr.der,user=$(uuid 4),code=$code,binding=q6urqw=="
printf '[req]\ndistinguished_name=dn\nattributes=at\nprompt=no\n[dn]\nCN=%s\n[at]\nchallengePassword=q6urqw==\n' "$(uuid 4)" >bound.cnf
openssl req -new -key 4.key -config bound.cnf -out bound.csr 2>/dev/null && der bound.csr
answered "of another session" bad binding-mismatch "enrol,csr=@bound.csr.der,user=$(uuid 4),code=$code,binding=q6urqQ=="
answered "of no session" bad binding-mismatch "enrol,csr=@bound.csr.der,user=$(uuid 4),code=$code"
answered "of this session" "done" - "enrol,csr=@bound.csr.der,user=$(uuid 4),code=$code,binding=q6urqw=="
kill "$SIGNER"
signer_ended 0 "stopped"
finish
