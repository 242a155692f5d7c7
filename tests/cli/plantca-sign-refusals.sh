#!/usr/bin/env bash
# plantca sign and hostile requests: each is refused by its own name, before the token is opened, and leaves no trace on record.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
maker=$PC_BUILD/tests/data/csr_maker
need "$maker"
ledger() { "$PLANTCA" list --json; }
before=$(ledger)
token_before=$(find "$WORK/softhsm/tokens" -type f -exec sha256sum {} + | sort)
# With this configuration the token is out of reach: exit 5, not 4, shows that it was never opened.
conf=$(without_token)

"$maker" --list >cases
while read -r name refusal; do
    "$maker" --plant "$UUID1" --ca-cert state/ca.crt "$name" hostile.csr || fail "csr_maker $name"
    expect 5 "$name" "$PLANTCA" sign -c "$conf" --plant "$UUID1" hostile.csr -o hostile.crt --json </dev/null &&
        said "\"code\": 5, \"name\": \"$refusal\"" "  is refused as $refusal"
done <cases
same "$([ "$(wc -l <cases)" -ge 100 ] && echo many)" many "there were many of them"
same "$(ledger)" "$before" "the ledger holds what it held"
same "$(find "$WORK/softhsm/tokens" -type f -exec sha256sum {} + | sort)" "$token_before" "so does the token"
same "$(ls hostile.crt 2>/dev/null)" "" "no certificate was written"
finish
