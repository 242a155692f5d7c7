#!/usr/bin/env bash
# plantca jwt-key: a pair of its own in the token, the same each time, until a new one takes its place.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
key() { "$PLANTCA" jwt-key "$@"; }
rows() { "$PLANTCA" jwt-key --jwks 2>/dev/null | /usr/bin/python3 -c 'import json, sys; print(len(json.load(sys.stdin)["keys"]))'; }

expect 4 "the token cannot be reached" key -c "$(without_token)"
expect 5 "output to a folder" key -o state
expect 5 "no key with this kid" key --retire nonsense
said 'jwt-key-unknown|no JWT key' "says so"
same "$(sqlite3 state/ledger.db "SELECT count(*) FROM token_key WHERE role = 'jwt'")" 0 "and none was made"
expect 2 "two acts" key --rotate --adopt
expect 5 "nothing to adopt" key --adopt --json
json "is refused" 'd["error"]["name"] == "jwt-key-adopt"'
cp -a state before-key
check "jwt-key" key -o first.pem
check "again" key -o again.pem
said 'already' "says that it was there"
same "$(cmp first.pem again.pem 2>&1)" "" "the same key"
same "$(openssl pkey -pubin -in first.pem -noout -text | head -n 1)" "Public-Key: (2048 bit)" "RSA of 2048 bits, read by openssl"
differs() { ! cmp -s "$1" "$2"; }
openssl x509 -in state/ca.crt -noout -pubkey >ca.pem
check "not the CA's key" differs ca.pem first.pem
check "--json" key --json
kid=$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["kid"])' <out)
json "tells the kid, and holds the set" 'len(d["kid"]) == 43 and [k["kid"] for k in d["jwks"]["keys"]] == [d["kid"]] and not d["made"]'
expect 5 "the key that signs is not retired" key --retire "$kid"
said 'rotate' "says what to do"
check "--rotate" key --rotate -o second.pem
same "$(rows)" 2 "the old one stays in the set"
check "another key" differs first.pem second.pem
check "--retire" key --retire "$kid" -o third.pem
said "$kid was retired" "says what it did"
same "$(cmp second.pem third.pem 2>&1)$(rows)" 1 "only the new one is left"
expect 5 "a retired one is unknown" key --retire "$kid"

# An independent reader: the kid is the thumbprint (RFC 7638), and the set holds the key of the PEM file.
"$PLANTCA" jwt-key --jwks -o set.json >/dev/null 2>&1
cat >read.py <<'PY'
import base64, hashlib, json, jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key
[key] = jwt.PyJWKSet.from_json(open("set.json").read()).keys
raw = json.load(open("set.json"))["keys"][0]
members = json.dumps({k: raw[k] for k in ("e", "kty", "n")}, separators=(",", ":"), sort_keys=True)
kid = base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
assert kid == key.key_id == raw["kid"], "thumbprint"
assert raw["alg"] == "RS256" and raw["use"] == "sig" and raw["kty"] == "RSA"
assert load_pem_public_key(open("third.pem", "rb").read()).public_numbers() == key.key.public_numbers(), "key"
PY
check "python3-jwt reads the set" /usr/bin/python3 read.py
check "the audit log is sound" "$PLANTCA" audit verify
expect 5 "nothing more to adopt" key --adopt

# A ledger from before the key was made.
sed "s|^state .*|state = $WORK/before-key|" "$PLANTCA_CONFIG" >restored.conf
expect 5 "the key of a restored ledger" key -c restored.conf
said "1 private key labelled 'plantca-jwt' is there already.*--adopt" "says what to do"
check "--adopt" key -c restored.conf --adopt -o adopted.pem
same "$(cmp first.pem adopted.pem 2>&1)" "" "takes the key in the token"
check "it stays" key -c restored.conf -o adopted.pem
same "$(cmp first.pem adopted.pem 2>&1)" "" "the same"
same "$(sqlite3 before-key/ledger.db "SELECT count(*) FROM audit WHERE line LIKE '%\"note\":\"adopted\"%'")" 1 "and is in the audit log"
finish
