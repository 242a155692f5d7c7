#!/bin/bash
# What we issue, judged by others: OpenSSL (-x509_strict), GnuTLS, strongSwan, Java. A good certificate passes with the CRL, a revoked
# one and one of a foreign CA do not. For each kind of CA key.
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
. "$PC_SOURCE/tests/lib/softhsm.sh"
need openssl certtool pki java javac
javac -d "$WORK" "$PC_SOURCE/tests/integration/whole/PathCheck.java" || exit 1
softhsm_start
printf '1234\n' >"$WORK/pin" && chmod 600 "$WORK/pin"

judge_openssl() { openssl verify -x509_strict -crl_check -purpose "$4" -CAfile "$1" -CRLfile "$2" "$3"; }
judge_gnutls() { certtool --verify --load-ca-certificate "$1" --load-crl "$2" --infile "$3"; }
judge_strongswan() { pki --verify --in "$3" --cacert "$1" --crl "$2"; }
judge_java() { java -Xshare:auto -cp "$WORK" PathCheck "$1" "$2" "$3"; }
refuses() { ! "$@"; }

uuid() { printf '%08x-0000-4000-8000-000000000001' "$1"; }
n=0
for kind in rsa:4096 rsa:3072 ec:P-256 ec:P-384; do
    name=${kind//:/-}
    softhsm_token "ca-$name" 1234
    export PLANTCA_CONFIG=$WORK/$name.conf
    state=$WORK/$name
    cat >"$PLANTCA_CONFIG" <<CONF
[token]
module = $SOFTHSM_MODULE
label = ca-$name
pin-file = $WORK/pin
[ca]
state = $state
key = $kind
subject = /C=CZ/ST=Prague/O=CPI IoT Platform/CN=Root $name
CONF
    check "$kind: init" "$PLANTCA" init || continue
    for key in rsa ec; do
        for fate in good revoked; do
            n=$((n + 1))
            if [ $key = rsa ]; then how=(-newkey rsa:2048); else how=(-newkey ec -pkeyopt ec_paramgen_curve:P-256); fi
            openssl req -new "${how[@]}" -nodes -keyout "$WORK/key" -subj "/CN=$(uuid $n)" -out "$WORK/csr" 2>/dev/null
            "$PLANTCA" sign --plant "$(uuid $n)" "$WORK/csr" -o "$state/$key-$fate.crt" >/dev/null || fail "$kind: sign $key"
        done
        "$PLANTCA" revoke --cert "$state/$key-revoked.crt" --reason superseded >/dev/null || fail "$kind: revoke"
    done
    "$PLANTCA" broker --new-key "$state/broker.key" -o "$state/broker.crt" >/dev/null || fail "$kind: broker"
    "$PLANTCA" crl -o "$state/out.crl" >/dev/null || fail "$kind: crl"
    check "$kind: openssl reads an RFC 5280 CRL and its signature" \
        sh -c "openssl crl -in $state/out.crl -CAfile $state/ca.crt -noout 2>&1 | grep -q 'verify OK'"

    # Java takes half a second to start: two keys of two CAs show what there is to see.
    judges="openssl gnutls strongswan"
    case $kind in rsa:4096 | ec:P-256) judges="$judges java" ;; esac
    for judge in $judges; do
        for key in rsa ec; do
            check "$kind: $judge accepts a device certificate ($key)" \
                "judge_$judge" "$state/ca.crt" "$state/out.crl" "$state/$key-good.crt" sslclient
            check "$kind: $judge refuses a revoked one ($key)" \
                refuses "judge_$judge" "$state/ca.crt" "$state/out.crl" "$state/$key-revoked.crt" sslclient
        done
        check "$kind: $judge accepts the broker's certificate" \
            "judge_$judge" "$state/ca.crt" "$state/out.crl" "$state/broker.crt" sslserver
    done
    check "$kind: a device certificate is none for a server" \
        refuses judge_openssl "$state/ca.crt" "$state/out.crl" "$state/rsa-good.crt" sslserver
    last=${previous:-}
    previous=$state
    [ -z "$last" ] || for judge in openssl gnutls strongswan; do
        check "$judge refuses a certificate of another CA" \
            refuses "judge_$judge" "$last/ca.crt" "$last/out.crl" "$state/rsa-good.crt" sslclient
    done
done
finish
