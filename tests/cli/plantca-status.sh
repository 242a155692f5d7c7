#!/usr/bin/env bash
# plantca status: all is well; or the token is away, the CRL has lapsed.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
status() { "$PLANTCA" status "$@"; }
new_csr "$UUID1" one.key one.csr
"$PLANTCA" sign -q --plant "$UUID1" one.csr -o one.crt

grep -v pin-file "$PLANTCA_CONFIG" >no-pin.conf
check "status, without a PIN" status --json --no-input -c no-pin.conf
json "all is well" 'd["token_health"]["code"] == 0 and d["audit"]["sound"] and d["audit"]["rows"] > 0 and "warnings" not in d'
json "counts" 'd["certificates"]["current"] >= 1 and d["certificates"]["revoked"] == 0 and d["certificates"]["unfinished"] == 0'
json "times" 'all(d[k].endswith("Z") for k in ("not_after", "crl_next_update", "issuance_horizon"))'
json "the ledger was read back" 'd["ledger_health"]["sound"] and d["ledger_health"]["checked"] >= 2'
json "the chain was followed" 'd["audit"]["verified_from"] >= 1 and d["certificates"]["foreign"] == 0'
check "for people" status
for word in 'CPI Root CA' 'Token +voke-ca' 'CRL number' 'Full term until' 'chain sound( .rows [0-9]+ to the end were read.*)?$'; do
    said "$word" "  says '$word'"
done
check "--quiet" status --quiet
silent "leaves the exit code"
expect 4 "the token cannot be reached" status --json -c "$(without_token)"
json "is an error, and the rest is told" 'd["error"]["code"] == 4 and d["token_health"]["code"] == 4 and d["certificates"]["current"] >= 1'

sed 's/^state .*/&\ncrl-days = 10/' "$PLANTCA_CONFIG" >short.conf
check "a CRL for ten days" "$PLANTCA" crl -q -c short.conf
check "status" status --json
json "has no warning" '"warnings" not in d and d["crl_renew_at"] < d["crl_next_update"]'
check "six days later" days_later 6 "$PLANTCA" status --json
json "warns: the next one is due" '[w for w in d["warnings"] if "CRL" in w] == ["the CRL lapses within 4 days; plantca publish makes a new one"]'
expect 5 "eight days later" days_later 8 "$PLANTCA" status --json
json "whatever renews it does not work" 'd["error"]["name"] == "crl-soon" and "within 2 days" in d["error"]["message"] and not any("CRL" in w for w in d.get("warnings", []))'
expect 5 "eleven days later" days_later 11 "$PLANTCA" status --json
json "the CRL has lapsed" 'd["error"]["name"] == "crl-lapsed" and d["crl_next_update"] and "plantca publish" in d["error"]["message"]'
expect 5 "nine years later" days_later 3300 "$PLANTCA" status --json
json "full-term certificates are past" 'any("cut short" in w for w in d["warnings"])'
expect 5 "eleven years later" days_later 4015 "$PLANTCA" status --json
json "the CA has expired" 'd["error"]["name"] == "ca-expired"'
new_csr "$UUID2" gone.key gone.csr
"$PLANTCA" sign -q --plant "$UUID2" gone.csr -o gone.crt
expect 4 "a revocation while the token is away" "$PLANTCA" revoke --plant "$UUID2" -c "$(without_token)"
expect 5 "status" status --json
json "tells that no CRL lists it" 'd["error"]["name"] == "crl-behind"'
check "plantca crl" "$PLANTCA" crl -q
check "makes one that does" status -q
ledger_keep before
check "a CRL by a clock that is ahead" days_later 20 "$PLANTCA" crl -q
expect 5 "status, by the right one" status --json
json "the CRL is not valid yet" 'd["error"]["name"] == "crl-early"'
expect 5 "the next CRL" "$PLANTCA" crl --json
json "waits until somebody has said which clock was right" 'd["error"]["name"] == "clock-behind"'
ledger_back before
ledger_keep before
ledger_forge "UPDATE body SET der = x'3000' WHERE certificate = (SELECT max(certificate) FROM body)"
expect 5 "a certificate that was changed behind our back" status --json
json "is told of" 'd["error"]["name"] == "ledger-broken" and not d["ledger_health"]["sound"]'
ledger_back before
softhsm_lose voke-ca
expect 4 "the token is gone" status
finish
