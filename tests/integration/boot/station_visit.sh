#!/bin/bash
# What station.sh lets systemd run inside: a station's life in short; what was seen goes to /srv/results.
trap 'journalctl --no-pager -o short-monotonic -u "plantca*" >/srv/results/journal; echo yes >/srv/results/ended; sync; systemctl poweroff -f -f' EXIT
cd /srv || exit 1
mkdir -p results
exec >results/log 2>&1
set -x
ip link set lo up
ca() { runuser -u plantca -- plantca "$@"; }

# docs/operations.md
systemd-sysusers plantca.conf && systemd-tmpfiles --create plantca.conf && systemctl daemon-reload
usermod -aG softhsm plantca
install -d -o root -g softhsm -m 1770 /var/lib/softhsm/tokens # as Debian's package has it
install -d -o plantca -g plantca -m 700 /var/lib/plantca
runuser -u plantca -- softhsm2-util --init-token --free --label voke-ca --pin 246810 --so-pin 135791
install -m 600 /dev/null /etc/plantca/pin
echo 246810 >/etc/plantca/pin
ca init --pin-fd 3 3</etc/plantca/pin
systemctl start plantca-metrics.socket
systemctl start plantca-signer.service plantca-serve.socket plantca-serve.service

est() { # METHOD [CURL-OPTION…]
    local path=$1
    shift
    curl -4 -s -m 30 --cacert /var/lib/plantca/ca.crt -o body -w '%{http_code}\n' "$@" "https://localhost:8443/.well-known/est/$path"
}
until_served() { for _ in $(seq 150); do [ "$(est cacerts)" = 200 ] && enrol | grep -q 200 && break; sleep 0.1; done; }
enrol() { est simpleenroll -u "$plant:$code" -H 'Content-Type: application/pkcs10' --data-binary @plc.b64; }
main() { systemctl show -p MainPID --value "$1"; }

systemctl is-active plantca-signer.service plantca-serve.service plantca-serve.socket plantca-metrics.socket >results/active
worker=$(pgrep -P "$(main plantca-serve)")
ps -o user= -p "$(main plantca-signer)" >results/users
ps -o user= -p "$(main plantca-serve)" >>results/users
ps -o user= -p "$worker" >>results/users
stat -c '%U:%G %a' /run/plantca/signer.sock /run/plantca >results/socket
est cacerts >results/cacerts
plant=a1b2c3d4-0000-4000-8000-000000000001
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout plc.key -subj "/CN=$plant" -outform der -out plc.der
base64 plc.der >plc.b64
code=$(ca allow --plant $plant --code --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["code"])')
enrol >results/enrolled
base64 -d body | openssl pkcs7 -inform der -print_certs | openssl x509 >results/plc.crt
cp /var/lib/plantca/ca.crt results/
curl -s http://127.0.0.1:9443/metrics | sed -nE 's/^plantca_(signer|token|ledger)_up //p' >results/metrics
runuser -u plantca-net -- sh -c 'cat /etc/plantca/pin /var/lib/plantca/ledger.db; ls /var/lib/plantca /var/lib/softhsm/tokens' >results/seen 2>/dev/null

systemctl reload plantca-serve
systemctl is-active plantca-serve >results/reloaded
est cacerts >>results/reloaded
kill -9 "$(main plantca-signer)"
until_served
systemctl is-active plantca-signer >results/again
enrol >>results/again
kill -9 "$(pgrep -P "$(main plantca-serve)")"
until_served
systemctl is-active plantca-serve >results/worker
est cacerts >>results/worker

systemctl stop plantca-signer
echo 999999 >/etc/plantca/pin
systemctl start plantca-signer
sleep 8 # longer than RestartSec=
systemctl show plantca-signer -p Result,NRestarts,ExecMainStatus,ActiveState >results/wrong
enrol >results/meanwhile
systemctl stop plantca-serve.service
systemctl start plantca-serve.service --no-block
sleep 1
systemctl is-active plantca-signer >results/restarted
echo 246810 >/etc/plantca/pin
systemctl start plantca-signer
until_served
systemctl is-active plantca-signer >results/right
enrol >>results/right
systemctl stop plantca-serve.socket plantca-metrics.socket plantca-serve.service plantca-signer.service
systemctl show plantca-serve -p Result,ExecMainStatus >results/stopped
systemctl show plantca-signer -p Result,ExecMainStatus >>results/stopped
