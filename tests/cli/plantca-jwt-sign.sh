#!/usr/bin/env bash
# plantca jwt-sign: tokens that an independent library verifies, and refuses when anything about them is changed.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh"
# shellcheck source=tests/cli/setup.sh
. "${PC_SOURCE:?}/tests/cli/setup.sh"
ca_start
cd "$WORK" || exit 1
sign() { "$PLANTCA" jwt-sign "$@"; }

expect 5 "no key yet" sign --sub $UUID1 --ttl 1h
said 'plantca jwt-key' "says how to make it"
check "a key" "$PLANTCA" jwt-key -o first.pem
expect 2 "no subject" sign --ttl 1h
expect 2 "no ttl" sign --sub $UUID1
expect 2 "a subject that is no UUID" sign --sub station --ttl 1h
expect 2 "a ttl of more than 366 days" sign --sub $UUID1 --ttl 367d
expect 2 "a ttl of nothing" sign --sub $UUID1 --ttl 0s
expect 2 "a ttl without a unit" sign --sub $UUID1 --ttl 300
said "needs a unit .*from 1s to 366d" "says the bounds"
expect 5 "a plant that is not on record" sign --sub $UUID1 --ttl 1h --json
json "is refused" 'd["error"]["name"] == "jwt-plant" and "--any" in d["error"]["message"]'
check "--any" sign --sub $UUID1 --ttl 1h --any
for n in 1 2; do
    uuid=UUID$n
    new_csr "${!uuid}" "$n.key" "$n.csr"
    check "plant $n" "$PLANTCA" sign -q --plant "${!uuid}" "$n.csr" -o "$n.crt"
done
expect 2 "a claim without a value" sign --sub $UUID1 --ttl 1h --claim role
expect 2 "a claim without a name" sign --sub $UUID1 --ttl 1h --claim =x
for name in iss sub aud exp nbf iat jti; do
    expect 2 "the registered claim $name" sign --sub $UUID1 --ttl 1h --claim "$name=1"
done
expect 2 "a registered one as JSON" sign --sub $UUID1 --ttl 1h --claim-json exp=99999999999
expect 2 "a claim twice" sign --sub $UUID1 --ttl 1h --claim role=a --claim role=b
expect 2 "a claim that is no JSON" sign --sub $UUID1 --ttl 1h --claim-json 'roles=[1,'
expect 2 "a claim that is no UTF-8" sign --sub $UUID1 --ttl 1h --claim "$(printf 'name=\377')"
expect 4 "the token cannot be reached" sign -c "$(without_token)" --sub $UUID1 --ttl 1h

check "jwt-sign" sign --sub $UUID1 --ttl 1h --claim role=reader --claim place=hall --claim-json 'topics=["a",1,null]' --aud mqtt --iss voke
cp out first.jwt
check "-o" sign --sub $UUID1 --ttl 1h -o second.jwt
same "$(mode second.jwt)" 600 "a file for its owner alone"
check "--json" sign --sub $UUID2 --ttl 1s --json
json "holds the token" 'd["token"].count(".") == 2 and d["subject"].endswith("2")'
/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])' <out >short.jwt
"$PLANTCA" jwt-key --jwks -o before.json >/dev/null 2>&1
"$PLANTCA" jwt-key --rotate >/dev/null 2>&1
"$PLANTCA" jwt-key --jwks -o set.json >/dev/null 2>&1
check "with a new key" sign --sub $UUID1 --ttl 1h -o third.jwt
same "$(sqlite3 state/ledger.db "SELECT count(*) FROM audit WHERE line LIKE '%\"act\":\"jwt\"%'")" 5 "each is in the audit log"

cat >verify.py <<'PY'
import base64, json, sys, time, jwt
sets = {name: jwt.PyJWKSet.from_json(open(name).read()) for name in ("before.json", "set.json")}
def read(name): return open(name).read().strip()
def verify(token, keys="set.json", **more):
    head = jwt.get_unverified_header(token)
    assert head["alg"] == "RS256" and head["typ"] == "JWT", head
    [key] = [k.key for k in sets[keys].keys if k.key_id == head["kid"]]
    return jwt.decode(token, key, algorithms=["RS256"], **more)
def refused(what, kind, call):
    try:
        call()
    except kind:
        return
    sys.exit(what + " is accepted")
first = read("first.jwt")
claims = verify(first, audience="mqtt", issuer="voke")
assert claims["sub"].endswith("0001") and claims["role"] == "reader" and claims["place"] == "hall", claims
assert claims["topics"] == ["a", 1, None] and len(claims["jti"]) == 32, claims
assert claims["exp"] - claims["iat"] == 3600 and claims["nbf"] == claims["iat"], claims
assert abs(claims["iat"] - time.time()) < 120, claims
assert verify(read("second.jwt"))["jti"] != claims["jti"]
verify(read("third.jwt"))
refused("another key", ValueError, lambda: verify(read("third.jwt"), "before.json"))
refused("another audience", jwt.InvalidAudienceError, lambda: verify(first, audience="http"))
while time.time() <= jwt.decode(read("short.jwt"), options={"verify_signature": False})["exp"]:
    time.sleep(0.05)
refused("an expired one", jwt.ExpiredSignatureError, lambda: verify(read("short.jwt")))
head, body, signature = first.split(".")
changed = dict(claims, sub="a1b2c3d4-0000-4000-8000-000000000009")
forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
refused("a changed payload", jwt.InvalidSignatureError, lambda: verify(".".join((head, forged, signature)), audience="mqtt"))
[other] = [k.key for k in sets["set.json"].keys if k.key_id != jwt.get_unverified_header(first)["kid"]]
refused("the other key", jwt.InvalidSignatureError, lambda: jwt.decode(first, other, algorithms=["RS256"], audience="mqtt"))
PY
check "python3-jwt verifies them, and refuses what was changed, is another's or has expired" /usr/bin/python3 verify.py
check "hold" "$PLANTCA" hold -q --plant $UUID1
expect 5 "a plant on hold" sign --sub $UUID1 --ttl 1h --any
said "is on hold" "says so"
check "release" "$PLANTCA" release -q --plant $UUID1
check "released" sign --sub $UUID1 --ttl 1h
check "revoke" "$PLANTCA" revoke -q --plant $UUID1 --reason keyCompromise
expect 5 "a revoked plant" sign --sub $UUID1 --ttl 1h --any -c "$(without_token)"
said "is revoked" "before the token is asked"
check "the audit log is sound" "$PLANTCA" audit verify
finish
