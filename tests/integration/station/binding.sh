#!/usr/bin/env bash
# A station that wants requests linked to their TLS session (RFC 7030 §3.5): TLS 1.2 by tls-unique, 1.3 by the exporter of RFC 9266.
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
# shellcheck source=tests/lib/est.sh
. "$PC_SOURCE/tests/lib/est.sh"
need curl openssl /usr/bin/python3
est_prepare 'binding = yes'
for plant in "$UUID1" "$UUID2"; do echo "$plant $(code "$plant")"; done >"$WORK/codes"
est_start
/usr/bin/python3 "$PC_SOURCE/tests/integration/station/binding.py" "$STATION_PORT" "$ANCHOR" "$WORK/codes"
