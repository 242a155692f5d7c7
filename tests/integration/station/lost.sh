#!/usr/bin/env bash
# Replies that never arrive: whoever asks again gets the certificate that was made, and the ledger has it once.
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/est.sh
. "$PC_SOURCE/tests/lib/est.sh"
need curl openssl /usr/bin/python3
est_prepare 'retry-after = 1s'
for i in 1 2 3 4; do
    plant=c0ffee00-0000-4000-8000-00000000000$i
    echo "$plant $(code "$plant")"
done >"$WORK/codes"
est_start
check "connections that are cut" /usr/bin/python3 "$PC_SOURCE/tests/integration/station/lost.py" "$STATION_PORT" "$ANCHOR" "$WORK/codes" ||
    sed 's/^/# /' "$WORK/out"
check "the ledger's list" "$PLANTCA" list --json
json "one row a plant, whatever was lost" \
    'sorted(l["cn"] for l in lines if l.get("profile") == "device") == ["c0ffee00-0000-4000-8000-00000000000%d" % i for i in (1, 2, 3, 4)]'
check "the audit log tells the same" "$PLANTCA" audit verify
finish
