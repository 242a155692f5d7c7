#!/usr/bin/env bash
# plantcert enroll where time has to pass: a station that has not decided, and one that closes every connection.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
# shellcheck source=tests/cli/est.sh
. "${PC_SOURCE:?}/tests/cli/est.sh"
plc_start
cd "$WORK" || exit 1
est_prepare
sed -i '/^url/a trust = '"$WORK"'/CA.crt' "$PLANTCERT_CONFIG"
station TLSv1_2

behave for simpleenroll 202 1
"$PLANTCERT" enroll --wait --timeout 20s -q &
waiting=$!
check "it has not decided, and the PLC waits" wait_for 10 grep -q 'POST.* 202' est/log
echo ok >est/mode
check "until it has" wait "$waiting"
check "and installed" test -e voke/current
same "$(asked 'POST .*simpleenroll')" 2 "asked twice"
behave bound leave 99
expect 4 "one that closes each" "$PLANTCERT" enroll --anew --json --timeout 5s
same "$(asked POST)" 0 "gets none"
finish
