#!/bin/bash
# What container.sh lets systemd run inside: the PLC's life in short; what systemd says of each unit goes to /srv/results.
trap 'journalctl --no-pager -o short-monotonic -u "plantcert*" >/srv/results/journal; echo yes >/srv/results/ended; sync; systemctl poweroff -f -f' EXIT
cd /srv || exit 1
mkdir -p results
exec >results/log 2>&1
set -x
ip link set lo up
swtpm_setup --tpm2 --tpmstate /srv/tpm --overwrite >/dev/null
swtpm socket --tpm2 --tpmstate dir=/srv/tpm --server type=tcp,port=2321 --ctrl type=tcp,port=2322 --flags not-need-init,startup-clear &
tpm=$!
for _ in $(seq 100); do (: </dev/tcp/127.0.0.1/2322) 2>/dev/null && break; sleep 0.1; done
systemd-sysusers plantcert.conf
systemd-tmpfiles --create plantcert.conf
result() { systemctl show "$1" -p Result,ExecMainStatus,ActiveState >"results/$2"; }

systemctl start plantcert-reload.path plantcert-renew.timer
systemctl is-active plantcert-renew.timer >results/timer
systemctl start plantcert-check.service
result plantcert-check.service nothing

plantcert request -q -o plc.csr
openssl x509 -req -in plc.csr -CA ours.crt -CAkey ours.key -set_serial 0x4567 -days 60 -extfile device.ext -out plc.crt
plantcert install -q --defer-reload --ca ours.crt plc.crt
for _ in $(seq 100); do [ -e reloaded ] && break; sleep 0.1; done
stat -L -c '%U:%G %a' /etc/voke/device.tpm >results/key
systemctl start plantcert-check.service
result plantcert-check.service good
chgrp root /etc/voke/generations/*/device.tpm
systemctl restart plantcert-check.service
result plantcert-check.service mended
stat -L -c '%U:%G %a' /etc/voke/device.tpm >>results/mended
systemctl start plantcert-renew.service
result plantcert-renew.service renew
ls /var/lib/plantcert >results/early
printf '[renew]\nbefore = 90d\n' >>/etc/plantcert/plantcert.conf
systemctl start plantcert-renew.service
result plantcert-renew.service due
cp /var/lib/plantcert/renew.csr results/
printf '[station]\nurl = https://127.0.0.1:9\ntrust = /srv/gone.crt\ntimeout = 1s\n' >>/etc/plantcert/plantcert.conf
systemctl start plantcert-enroll.service
result plantcert-enroll.service enroll
sed -i '/^trust/d' /etc/plantcert/plantcert.conf
systemctl start plantcert-enroll.service
result plantcert-enroll.service enroll
journalctl -o cat -u plantcert-enroll.service | grep -o 'is not there\|there is time' >results/warned
cp reloaded results/

kill $tpm
wait $tpm
systemctl stop plantcert-check.service
printf '%s\n' '[Unit]' Wants=plantcert-check.service After=plantcert-check.service '[Service]' 'ExecStart=/bin/sleep 1000' >/run/systemd/system/client.service
systemctl daemon-reload
systemctl start client.service
systemctl is-active client.service >results/client
result plantcert-check.service absent

# The units as they are installed, and the TPM as a PLC has it, but for its being there.
rm /etc/systemd/system/plantcert-check.service.d/tpm.conf
sed -i 's|^tcti .*|tcti = device:/dev/tpmrm0|; /^allow-simulator/d' /etc/plantcert/plantcert.conf
systemctl daemon-reload
systemctl restart plantcert-check.service
result plantcert-check.service device
journalctl -o cat -u plantcert-check.service | grep -c 'Address family' >>results/device
