#!/bin/bash
# The station's units as systemd itself runs them, in a container over this machine's files, as container.sh has it for the PLC's; set up by the
# commands of docs/operations.md, with SoftHSM as the token.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
need systemd-nspawn softhsm2-util openssl curl
# shellcheck source=tests/integration/boot/start.sh
. "$PC_SOURCE/tests/integration/boot/start.sh"

furnish() {
    rm -rf "$root/etc/plantca" "$root/var/lib/plantca" "$root/var/lib/softhsm/tokens"
    mkdir -p "$root/srv" "$root/etc/plantca"
    printf '%s\n' '[token]' 'module = /usr/lib/softhsm/libsofthsm2.so' 'label = voke-ca' '[ca]' 'key = ec:P-256' >"$root/etc/plantca/plantca.conf"
}

boot station_visit.sh

same "$(told active)" "active active active active " "both services and both sockets"
same "$(told users)" "plantca plantca-net plantca-net " "the signer is plantca, master and worker are plantca-net"
same "$(told socket)" "plantca:plantca-net 660 plantca:plantca-net 2750 " "the signer's socket and its folder"
same "$(told cacerts)" "200 " "cacerts, through the whole sandbox"
same "$(told enrolled)" "200 " "a plant with its code is enrolled"
check "... by our CA" openssl verify -CAfile "$WORK/results/ca.crt" "$WORK/results/plc.crt"
same "$(told metrics)" "1 1 1 " "the metrics: signer, token and ledger are there"
same "$(told reloaded)" "active 200 " "systemctl reload"
same "$(told again)" "active 200 " "the signer is killed: systemd starts another, and it is served again"
same "$(told worker)" "active 200 " "the worker is killed: the master starts another"
same "$(told wrong)" "Result=exit-code NRestarts=0 ExecMainStatus=3 ActiveState=failed " "a PIN that is refused: not tried again"
same "$(told meanwhile)" "503 " "... and the network service says so"
same "$(told restarted)" "failed " "... nor does a restart of the network service try it"
same "$(told right)" "active 200 " "the right PIN, by hand: served again"
same "$(told stopped)" "Result=success ExecMainStatus=0 Result=success ExecMainStatus=0 " "both end well"
same "$(told seen)" "" "the network service's user sees neither state nor PIN nor token"
[ "$FAILED" -eq 0 ] || sed 's/^/# /' "$WORK/results/journal" "$WORK/results/log"
finish
