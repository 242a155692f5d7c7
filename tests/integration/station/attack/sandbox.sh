#!/bin/sh
# The network service's sandbox, with a token's module, a PIN file and a ledger that it must not open, and root's power to open them.
# Usage: sandbox.sh PROGRAM
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
echo 1234 >"$dir/pin"
: >"$dir/ledger.sqlite"
"$1" "$dir/signer.sock" "$dir/other.sock" "${PC_MODULE:-/usr/lib/softhsm/libsofthsm2.so}" "$dir/pin" "$dir/ledger.sqlite" /etc/passwd
