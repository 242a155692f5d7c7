#!/bin/bash
# The units as systemd itself runs them: this machine's files under an overlay, plantcert installed into it, and systemd started in a container
# over that. What cannot be had in one is the device /dev/tpmrm0: a software TPM inside takes its place, for which the three sandboxed units are
# given local sockets; all else of the sandbox stands. Nothing outside of the test's own folder is written, and no mount outlives it.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
need systemd-nspawn swtpm swtpm_setup openssl
# shellcheck source=tests/integration/boot/start.sh
. "$PC_SOURCE/tests/integration/boot/start.sh"

furnish() {
    rm -rf "$root/etc/voke" "$root/etc/plantcert" "$root/var/lib/plantcert"
    mkdir -p "$root/etc/plantcert" "$root/srv/tpm"
    cp "$WORK/plantcert.conf" "$root/etc/plantcert/"
    cp "$WORK/ours.crt" "$WORK/ours.key" "$WORK/device.ext" "$root/srv/"
    for unit in check renew enroll; do
        mkdir -p "$root/etc/systemd/system/plantcert-$unit.service.d"
        printf '%s\n' '[Service]' PrivateNetwork=no 'RestrictAddressFamilies=AF_INET AF_UNIX' IPAddressDeny= \
            >"$root/etc/systemd/system/plantcert-$unit.service.d/tpm.conf"
    done
}

cat >"$WORK/plantcert.conf" <<CONF
[device]
plant  = $UUID1
key    = ec:P-256
group  = plantcert
reload = /bin/sh -c "echo reloaded >>/srv/reloaded"
[tpm]
tcti   = swtpm:host=127.0.0.1,port=2321
allow-simulator = yes
CONF
openssl_ca ours
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/any.key" -subj /CN=any -out "$WORK/any.csr" 2>/dev/null
openssl_sign ours "$UUID1" "$WORK/any.csr" "$WORK/any.crt" # for device.ext
boot visit.sh

same "$(told nothing)" "Result=exit-code ExecMainStatus=6 ActiveState=failed " "plantcert-check.service, nothing installed: 6"
same "$(told good)" "Result=success ExecMainStatus=0 ActiveState=active " "plantcert-check.service, a good set: 0, in its whole sandbox"
same "$(told mended)" "Result=success ExecMainStatus=0 ActiveState=active root:plantcert 640 " "... and mends the group of device.tpm"
same "$(told renew)" "Result=success ExecMainStatus=0 ActiveState=inactive " "plantcert-renew.service: 0"
same "$(told early)" "" "... and no request before its time"
same "$(told due)" "Result=success ExecMainStatus=0 ActiveState=inactive " "plantcert-renew.service when it is due: 0"
check "... has left a request" openssl req -in "$WORK/results/renew.csr" -verify -noout
same "$(told enroll)" "Result=success ExecMainStatus=0 ActiveState=inactive " "plantcert-enroll.service, due and the station away: 0, in its whole sandbox"
same "$(told warned)" "is not there there is time there is time " "... and with a trust file that is missing: 0, both told"
same "$(told reloaded)" "reloaded " "plantcert-reload.path has seen the switch, and the command has run once"
same "$(told absent)" "Result=exit-code ExecMainStatus=4 ActiveState=failed " "plantcert-check.service, no TPM: 4"
same "$(told device)" "Result=exit-code ExecMainStatus=4 ActiveState=failed 0 " "... as installed, without /dev/tpmrm0: 4"
same "$(told client)" "active " "a unit ordered after a check that failed is started all the same"
same "$(told key)" "root:plantcert 640 " "device.tpm belongs to the group of sysusers.d"
same "$(told timer)" "active " "plantcert-renew.timer waits"
[ "$FAILED" -eq 0 ] || sed 's/^/# /' "$WORK/results/journal"
finish
