#!/usr/bin/env bash
# What runs at boot: the units are sound and shut in; the script for machines without systemd tells by its exit code what it met, with every
# fault within 30 seconds.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
need systemd-analyze flock
cd "$WORK" || exit 1

mkdir units
for unit in "$PC_BUILD"/packaging/plantcert-*.service "$PC_SOURCE"/packaging/systemd/plantcert-*.timer "$PC_SOURCE"/packaging/systemd/plantcert-*.path; do
    sed "s|^ExecStart=[^ ]*|ExecStart=$PLANTCERT|" "$unit" >"units/${unit##*/}"
done
sed "s|^ExecStart=.*|ExecStart=/bin/true|; /^    -i UUID/d" "$PC_SOURCE/packaging/systemd/plc-mqtt.service.example" >units/plc-mqtt.service
check "the units are sound" systemd-analyze verify --man=no "$WORK"/units/plantcert-*
same "$(cat "$WORK/err")" "" "and systemd has nothing to say of them"
check "the example of a client's unit is sound" systemd-analyze verify --man=no "$WORK/units/plc-mqtt.service" "$WORK/units/plantcert-check.service"
same "$(cd units && echo *)" "plantcert-check.service plantcert-enroll.service plantcert-enroll.timer plantcert-reload.path plantcert-reload.service plantcert-renew.service plantcert-renew.timer plc-mqtt.service" "they are all there"
for unit in check renew; do
    check "plantcert-$unit.service: an exposure of 2.0 at most" systemd-analyze security --offline=true --threshold=20 --no-pager "$WORK/units/plantcert-$unit.service"
done
check "plantcert-enroll.service, which has a network: of 2.1" systemd-analyze security --offline=true --threshold=21 --no-pager "$WORK/units/plantcert-enroll.service"
sed 's/^IPAddressDeny=$/IPAddressDeny=any\nIPAddressAllow=192.0.2.5/' units/plantcert-enroll.service >units/narrow.service
check "... and of 2.0 where the station's address is given" systemd-analyze security --offline=true --threshold=20 --no-pager "$WORK/units/narrow.service"
sed '/^CapabilityBoundingSet=/d; /^SystemCallFilter=/d; /^PrivateUsers=/d; /^PrivateNetwork=/d' units/plantcert-check.service >units/bare.service
expect 1 "with less of a sandbox it would be more" systemd-analyze security --offline=true --threshold=20 --no-pager "$WORK/units/bare.service"
same "$(grep -c '^Requires=' units/*.service | grep -vc ':0$')" 0 "nothing requires anything: the boot goes on"
check "users and groups are sound" systemd-sysusers --dry-run "$PC_SOURCE/packaging/sysusers/plantcert.conf"
mkdir root
check "the folders are made" systemd-tmpfiles --create --root="$WORK/root" "$PC_SOURCE/packaging/tmpfiles/plantcert.conf"
same "$(mode root/etc/voke) $(mode root/var/lib/plantcert) $(mode root/etc/plantcert)" "755 755 755" "with their modes"

# The script finds the program by its PATH, whatever that holds otherwise.
mkdir bin
ln -s "$PLANTCERT" bin/plantcert
# logger(1) is not what is tested, but what it is given.
printf '#!/bin/sh\necho "$*" >>%s\n' "$WORK/syslog" >bin/logger
chmod 755 bin/logger
sed "s|^PATH=[^:]*|PATH=$WORK/bin|; s|/etc/default/plantcert|$WORK/default|" "$PC_BUILD/packaging/plantcert-check" >boot
chmod 755 boot
check "the script is POSIX shell" sh -n boot
export PLANTCERT_CONFIG=$WORK/nowhere.conf
check "without a configuration there is nothing to check" ./boot start
said 'nothing to check' "as it says"
plc_start
sed "s|^tcti .*|tcti = swtpm:host=127.0.0.1,port=$(free_port)|" "$PLANTCERT_CONFIG" >absent.conf
# in_time CODE DESCRIPTION COMMAND…: as expect, and within 30 seconds (sanitizers take longer, but not three times as long).
in_time() {
    local start=$SECONDS limit=30
    [ -z "${PC_PRELOAD:-}" ] || limit=90
    expect "$@"
    [ $((SECONDS - start)) -le $limit ] || fail "$2: in time" "$((SECONDS - start)) seconds"
}
in_time 6 "nothing installed" ./boot start
said 'no certificate is installed yet' "is said"
"$PLANTCERT" request -q -o plc.csr || fail "request"
openssl_ca ours
openssl_sign ours "$UUID1" plc.csr plc.crt 20
"$PLANTCERT" install -q --ca ours.crt plc.crt || fail "install"
in_time 0 "a good set" ./boot start
said 'certificate and key are good' "is said"
: >syslog
in_time 0 "a certificate that is due" days_later 19 ./boot start
same "$(grep -c 'daemon.warning -- warning: .*time to renew' syslog) $(grep -c 'daemon.info .*are good' syslog)" "1 1" "reaches syslog as a warning"
said 'warning: .*time to renew' "and is said"
check "status" ./boot status
said "$UUID1" "tells the plant"
check "stop does nothing" ./boot stop
expect 2 "another word" ./boot enable

sed "\$a [station]\nurl = https://127.0.0.1:$(free_port)\ntimeout = 1s" "$PLANTCERT_CONFIG" >station.conf
: >syslog
in_time 5 "an expired certificate, where there is a station" env PLANTCERT_CONFIG="$WORK/station.conf" PC_CLOCK_DAYS=21 \
    LD_PRELOAD="${PC_PRELOAD:-} $PC_BUILD/tests/cli/clock.so" ./boot start
check "the station is asked behind it" wait_for 20 grep -q 'plantcert enroll at https://127.0.0.1:.* ended with 4' syslog
in_time 0 "a clock at 1970" days_later -20500 ./boot start
in_time 0 "a clock past 2106" days_later 31000 ./boot start
in_time 5 "an expired certificate" days_later 21 ./boot start
in_time 4 "no TPM" env PLANTCERT_CONFIG="$WORK/absent.conf" ./boot start
said 'does not answer' "is said"
exec 9<>voke/.lock
flock -x 9
in_time 6 "another run holds the folder" ./boot start
exec 9<&-
sed 's/^key .*/key = none/' "$PLANTCERT_CONFIG" >wrong.conf
in_time 2 "a configuration that is wrong" env PLANTCERT_CONFIG="$WORK/wrong.conf" ./boot start
said 'ended with 2: .*key' "is said, with the program's reason"
check "which reaches syslog" grep -q 'daemon.err -- .*ended with 2: .*wrong.conf' syslog

# A client that the reload command leaves running holds nobody up.
sed "s|^key .*|&\nreload = sleep 60 \& echo \$! >$WORK/client|" "$PLANTCERT_CONFIG" >reload.conf
"$PLANTCERT" rekey -q -o next.csr || fail "rekey"
openssl_sign ours "$UUID1" next.csr next.crt 20
PLANTCERT_CONFIG=$WORK/reload.conf "$PLANTCERT" install -q --defer-reload next.crt || fail "install"
start=$SECONDS
in_time 0 "a reload that is owed" env PLANTCERT_CONFIG="$WORK/reload.conf" ./boot start
[ $((SECONDS - start)) -lt 30 ] || fail "its client holds the script up"
check "is done" test -s client
PIDS+=("$(cat client)")
check "... once" sh -c "rm client && PLANTCERT_CONFIG='$WORK/reload.conf' ./boot start && ! test -e client"

# Two at once, as a machine with two boot systems does it.
./boot start >first 2>&1 &
first=$!
in_time 0 "two at once: the second" ./boot start
wait "$first"
same $? 0 "two at once: the first"

# A program that hangs for good, with timeout(1) and without.
printf '#!/bin/sh\nexec sleep 600\n' >bin/hanging
chmod 755 bin/hanging
mkdir -p small/bin hung
for tool in sh sleep cat; do ln -s "$(command -v $tool)" small/bin/; done
ln -s "$WORK/bin/hanging" hung/plantcert
sed "s|^PATH=.*|PATH=$WORK/hung:/usr/bin:/bin|; s|^LIMIT=.*|LIMIT=1|" boot >hanging-boot
in_time 124 "a check that never ends" sh hanging-boot start
sed -i "s|^PATH=.*|PATH=$WORK/hung:$WORK/small/bin|" hanging-boot
in_time 124 "... and without timeout(1)" /bin/sh hanging-boot start
sed "s|^PATH=.*|PATH=$WORK/bin:$WORK/small/bin|" boot >small-boot
in_time 0 "a good set, without timeout(1)" /bin/sh small-boot start
in_time 4 "no TPM, without timeout(1)" env PLANTCERT_CONFIG="$WORK/absent.conf" /bin/sh small-boot start

# A TPM that takes the connection and never answers.
/usr/bin/python3 - "$WORK/mute.port" <<'PY' &
import os, socket, sys
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(8)
with open(sys.argv[1] + ".new", "w") as f:
    f.write(str(server.getsockname()[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
held = []
while True:
    held.append(server.accept())
PY
PIDS+=($!)
wait_for 10 test -s mute.port
sed "s|^tcti .*|tcti = swtpm:host=127.0.0.1,port=$(cat mute.port)|" "$PLANTCERT_CONFIG" >mute.conf
# tpm2-tss 3.2.1 leaks its configuration where a TCTI cannot be opened.
in_time 4 "a TPM that hangs" env ASAN_OPTIONS=detect_leaks=0 PLANTCERT_CONFIG="$WORK/mute.conf" ./boot start

# What it takes of a small machine.
if [ -z "${PC_PRELOAD:-}" ]; then
    check "peak memory of the check" /usr/bin/python3 -c 'import resource, subprocess, sys
assert subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode == 0
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak, "KiB")
assert peak <= 16 * 1024, peak' "$PLANTCERT" check
    sed 's/^/# at most /' out
fi

# A root that is read-only, the folder on a mount of its own; then that full, and read-only too.
read_only() { # SETUP COMMAND…: in a mount namespace of its own
    local setup=$1
    shift
    unshare -m --propagation private sh -c "set -e; mount --bind '$WORK/voke' '$WORK/voke'; mount -o remount,bind,ro '$place'; $setup"'; exec "$@"' sh "$@"
}
place=$(stat -c %m "$WORK")
if [ "$(id -u)" -eq 0 ] && read_only true true 2>/dev/null; then
    expect 1 "read-only means it" read_only true touch "$WORK/x"
    in_time 0 "a read-only root, the folder writable" read_only true ./boot start
    check "renew --if-due, too" read_only true "$PLANTCERT" renew --if-due
    check "and another install" read_only true "$PLANTCERT" install plc.crt
    in_time 1 "the folder is read-only, too" read_only "mount -o remount,bind,ro '$WORK/voke'" ./boot start
    said 'Read-only file system' "is said"
    full="mount -t tmpfs -o size=128k tmpfs '$WORK/voke'; cp -a '$WORK/kept/.' '$WORK/voke/'; cat /dev/zero >'$WORK/voke/fill' 2>&1 || true"
    cp -a voke kept
    in_time 0 "the folder is full" read_only "$full" ./boot start
else
    skip "a read-only root" "needs root and mount namespaces"
fi
check "nothing is left in the TPM" swtpm_is_clean
finish
