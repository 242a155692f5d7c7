#!/usr/bin/env bash
# plantcert enroll, renew and rekey, cut off at many points of a conversation with the real station, and run again.
# plantcert-enroll-cuts.sh INTERCEPT STEP: every STEPth call that changes a file or sends something.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/station.sh
. "$PC_SOURCE/tests/lib/station.sh"
# shellcheck source=tests/lib/station_cuts.sh
. "$PC_SOURCE/tests/lib/station_cuts.sh"
# shellcheck disable=SC2034 # for station_cuts.sh
INTERCEPT=$(realpath "${1:?}")
STEP=${2:?}
cd "$WORK" || exit 1
export TMPDIR=$WORK
ca_prepare
station_settings 'retry-after = 1s' 'binding = yes'
"$PLANTCA" init -q || fail "a CA"
plc_start
station_start --single
printf '[station]\nurl = https://localhost:%s\ntrust = %s\ntimeout = 5s\n' "$STATION_PORT" "$WORK/state/ca.crt" >>"$PLANTCERT_CONFIG"

for way in enroll renew rekey; do
    check "$way, undisturbed" cut_undisturbed "$way"
    for signal in kill term; do
        at=1 points=0
        while :; do
            cut_at "$signal" "$way" "$at" >cut.said 2>&1 || fail "$way, $signal at call $at: $(tail -1 cut.calls)" "$(cat cut.said)"
            [ "$CUT_OVER" = no ] || break
            points=$((points + 1)) at=$((at + STEP))
        done
        pass "$way: $points points ($signal), the last one before call $((at - STEP))"
    done
done
check "the audit log" "$PLANTCA" audit verify
finish
