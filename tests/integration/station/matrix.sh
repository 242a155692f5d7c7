#!/usr/bin/env bash
# Endpoint × method × credential: nothing that is not named is served. `matrix.sh` looks at the cells that differ, `matrix.sh all` at
# every one. The plants and their certificates are made here, the table stands in matrix.py.
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/est.sh
. "$PC_SOURCE/tests/lib/est.sh"
need curl openssl /usr/bin/python3
cd "$WORK" || exit 1

# plant NAME: its UUID, the same each time.
plant() { printf 'c0ffee00-0000-4000-8000-%012x' "$(printf '%s' "$1" | cksum | cut -d' ' -f1)"; }
# signed NAME [OPTION…]: NAME.key, NAME.crt, by plantca itself.
signed() {
    new_csr "$(plant "$1")" "$1.key" "$1.csr"
    "$PLANTCA" sign --plant "$(plant "$1")" "$1.csr" -o "$1.crt" "${@:2}" >>signed.out 2>&1 || cat signed.out >&2
}

# Two years ago: the CA, a PLC whose certificate has ended since; a month ago: a code that has expired since.
ca_prepare
printf '[device]\nrenew-window = 729d\n' >>"$PLANTCA_CONFIG"
est_prepare 'early-renewal = yes' 'request-timeout = 2s'
days_later -800 "$PLANTCA" init >init.out 2>&1 || { echo "Bail out! $(cat init.out)"; exit 1; }
new_csr "$(plant expired)" expired.key expired.csr
days_later -800 "$PLANTCA" sign --plant "$(plant expired)" expired.csr -o expired.crt >>signed.out 2>&1
expired_code=$(days_later -30 code "$(plant expired-code)" --valid 1d)
for name in current superseded replaced revoked held; do signed "$name"; done
cp superseded.crt older.crt
cp superseded.key older.key
cp replaced.key replaced-old.key
cp replaced.crt replaced-old.crt
"$PLANTCA" sign --renew --plant "$(plant superseded)" superseded.csr -o superseded-new.crt >>signed.out 2>&1
rm replaced.key
signed replaced --replace "$(serial_of replaced-old.crt)"
{
    "$PLANTCA" revoke --plant "$(plant revoked)" --reason keyCompromise
    "$PLANTCA" hold --plant "$(plant held)"
    "$PLANTCA" broker --cn localhost --san DNS:localhost --new-key broker.key -o broker.crt
} >>signed.out 2>&1
openssl_ca foreign
cp current.key foreign-plc.key
openssl_sign foreign "$(plant current)" current.csr foreign-plc.crt
expired=$(plant expired-code)
: >codes
for name in right retried taken label other; do printf '%s %s %s\n' "$name" "$(plant "$name")" "$(code "$(plant "$name")")" >>codes; done
printf 'expired-code %s %s\n' "$expired" "$expired_code" >>codes
for name in current superseded replaced revoked held expired; do printf '%s %s -\n' "$name" "$(plant "$name")" >>codes; done
est_start
/usr/bin/python3 "$PC_SOURCE/tests/integration/station/matrix.py" "$STATION_PORT" "$ANCHOR" "$WORK" "${1:-few}"
