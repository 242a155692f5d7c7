#!/usr/bin/env bash
# plantcert install: all or nothing; whatever does not fit is refused, and the old set stands.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
plc_start
cd "$WORK" || exit 1
install() { "$PLANTCERT" install "$@"; }
openssl_ca ours
openssl_ca foreign
"$PLANTCERT" request -q -o plc.csr
openssl_sign ours "$UUID1" plc.csr good.crt
openssl_sign foreign "$UUID1" plc.csr foreign-leaf.crt
new_csr "$UUID1" soft.key soft.csr
openssl_sign ours "$UUID1" soft.csr soft.crt
echo rubbish >rubbish
files() { stat voke/ca.crt voke/device.crt voke/device.tpm 2>/dev/null | grep -c File:; }

expect 2 "no chain" install
expect 2 "chain and anchor on standard input" install --ca - -
expect 1 "a chain that is not there" install --ca ours.crt none.crt
expect 5 "no trust anchor at first" install good.crt
expect 5 "a chain that is none" install --ca ours.crt rubbish
expect 5 "an anchor that is none" install --ca rubbish good.crt
expect 5 "a chain to another anchor" install --ca ours.crt foreign-leaf.crt
expect 5 "another key" install --ca ours.crt soft.crt
expect 4 "the TPM cannot be reached" install --ca ours.crt good.crt --tcti "swtpm:host=127.0.0.1,port=$(free_port)"
same "$(files)" 0 "none of these installed a file"

check "install" install --ca ours.crt good.crt --json
json "tells what is installed" 'not d["already"] and d["plant"] == "'"$UUID1"'" and d["serial"] == "'"$(serial_of good.crt)"'" and not d["reload_failed"]'
same "$(files)" 3 "three files"
same "$(stat -Lc %a voke/ca.crt voke/device.crt voke/device.tpm | tr '\n' ' ')" "644 644 600 " "modes 0644, 0644, 0600"
same "$(grep -rlE 'BEGIN (RSA |EC |ENCRYPTED )?PRIVATE KEY' voke)$(find voke -name device.key)" "" "no private key is on the disk"
check "again" install good.crt --json
json "is done already" 'd["already"]'
expect 5 "another key, later" install soft.crt
same "$(serial_of voke/device.crt)" "$(serial_of good.crt)" "the old set stands"
openssl_sign ours "$UUID1" plc.csr later.crt
piped() { install - <later.crt; }
check "a later certificate for the same key, on standard input" piped
same "$(serial_of voke/device.crt)" "$(serial_of later.crt)" "is installed"
printf '%s\n' "reload = echo reloaded >>$WORK/reloads; exit 3" "group = $(id -gn)" >device.part
sed "/^plant /r device.part" "$PLANTCERT_CONFIG" >reload.conf
openssl_sign ours "$UUID1" plc.csr last.crt
expect 1 "a reload command that fails" install -c reload.conf last.crt --json
json "is told" 'd["reload_failed"] and d["error"]["code"] == 1'
same "$(serial_of voke/device.crt) $(cat reloads)" "$(serial_of last.crt) reloaded" "the new set stands"
same "$(stat -Lc '%a %G' voke/device.tpm)" "640 $(id -gn)" "with a group, device.tpm has mode 0640 and is the group's"

# CRLs: openssl's, of two CAs in one file as they are published.
# crl CA FILE [SERIAL [OPTION…]]: one that lists this serial number.
crl() {
    local ca=$1 file=$2 serial=${3:-}
    : >index.txt
    [ -z "$serial" ] || printf 'R\t400101000000Z\t260101000000Z\t%s\tunknown\t/CN=x\n' "${serial^^}" >index.txt
    printf '[ca]\ndefault_ca = it\n[it]\ndatabase = %s\ndefault_md = sha256\n' "$WORK/index.txt" >crl.cnf
    openssl ca -config crl.cnf -gencrl -crldays 5 "${@:4}" -cert "$ca.crt" -keyfile "$ca.key" -out "$file" 2>/dev/null
}
in_days() { date -u -d "+$1 days" +%Y%m%d%H%M%SZ; }
openssl_sign ours "$UUID1" plc.csr fresh.crt
crl foreign foreign.crl "$(serial_of fresh.crt)"
crl ours empty.crl
crl ours listed.crl "$(serial_of fresh.crt)"
expect 2 "two inputs from standard input" install --crl - -
expect 1 "a CRL that is not there" install --crl none.crl fresh.crt
expect 5 "a CRL that is none" install --crl rubbish fresh.crt --json
json "by name" 'd["error"]["name"] == "install-crl"'
expect 5 "a CRL of another CA" install --crl foreign.crl fresh.crt --json
json "by name" 'd["error"]["name"] == "install-crl"'
cat foreign.crl listed.crl >all.crl
expect 5 "a certificate that is revoked" install --crl all.crl fresh.crt --json
json "by name" 'd["error"]["name"] == "install-revoked"'
expect 5 "a CRL that has had its day" days_later 6 "$PLANTCERT" install --crl empty.crl fresh.crt --json
json "by name" 'd["error"]["name"] == "install-crl"'
same "$(serial_of voke/device.crt)" "$(serial_of last.crt)" "the old set stands"
cat foreign.crl empty.crl >all.crl
check "one that is not revoked" install --crl all.crl fresh.crt
openssl crl -in empty.crl -outform DER -out empty.der
check "DER, too, in 1970" days_later -20700 "$PLANTCERT" install --crl empty.der fresh.crt
said "is behind|lies before" "the clock is told"
floor=$(sed -n 's/^floor = //p' voke/clock)
[[ ! $floor < $(date -u -d "$(openssl crl -noout -lastupdate -in empty.crl | sed 's/.*=//')" +%FT%TZ) ]]
same $? 0 "the CRL's thisUpdate is proven time ($floor)"
check "and in 2106" days_later 29300 "$PLANTCERT" install fresh.crt
expect 5 "when it has ended" days_later 21 "$PLANTCERT" install fresh.crt
same "$(sed -n 's/^floor = //p' voke/clock)" "$floor" "no wrong clock has raised the floor"

crl ours ahead.crl "" -crl_lastupdate "$(in_days 25)" -crl_nextupdate "$(in_days 28)"
expect 5 "a CRL that was made after the certificate's end" install --crl ahead.crl fresh.crt --json
json "by name" 'd["error"]["name"] == "chain-expired" and "thisUpdate" in d["error"]["message"]'
same "$(sed -n 's/^floor = //p' voke/clock)" "$floor" "nor does it: what stands stays good"
check "which a check at boot finds" "$PLANTCERT" check
mv voke/clock clock.saved
mkdir voke/clock
check "what stands in place of the floor is no reason to fail" install --ca ours.crt fresh.crt
said "floor of the clock" "but is said"
rmdir voke/clock
mv clock.saved voke/clock

# A chain with more in it than its own line, or not a chain at all.
cat fresh.crt foreign.crt >strange.pem
expect 5 "a stranger's certificate behind it" install strange.pem --json
json "by name" 'd["error"]["name"] == "install-order"'
for _ in 1 2 3 4 5 6 7 8 9; do cat fresh.crt; done >many.pem
expect 5 "nine certificates" install many.pem
head -c 300000 /dev/zero >huge.pem
expect 5 "a file that is too long" install huge.pem
head -c 20000 /dev/urandom >random.pem
expect 5 "noise" install random.pem
expect 5 "a leaf as the anchor" install --ca fresh.crt fresh.crt
cat foreign.crt ours.crt >two.pem
openssl_sign foreign "$UUID1" plc.csr both.crt
check "two anchors, and a certificate of one" install --ca two.pem fresh.crt
check "then of the other" install both.crt
expect 5 "no more when one is given alone" install --ca ours.crt both.crt

# Where the root is read-only: the folder is a link into a state folder, or on another mount.
mkdir -p ro/etc state/voke
ln -s ../../state/voke ro/etc/voke
sed "s|^dir .*|dir = $WORK/ro/etc/voke|; s|^store .*||; /^plant/a store = blob" "$PLANTCERT_CONFIG" >linked.conf
chmod 555 ro/etc
sealed=
if [ "$(id -u)" = 0 ] && mount --bind ro ro 2>/dev/null; then
    mount -o remount,bind,ro ro && sealed=$WORK/ro
fi
"$PLANTCERT" request -q -c linked.conf -o linked.csr
openssl_sign ours "$UUID1" linked.csr linked.crt
check "install into a state folder${sealed:+ under a read-only root}" install -c linked.conf --ca ours.crt linked.crt
check "check there" "$PLANTCERT" check -c linked.conf
same "$(serial_of ro/etc/voke/device.crt)" "$(serial_of linked.crt)" "the certificate is found by the link"
[ -z "$sealed" ] || umount "$sealed"

check "nothing is left loaded" swtpm_is_clean
finish
