#!/bin/bash
# The openssl program with the provider switched on: what works with a TPM key, what goes on working without a TPM, and how failures are told.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh"
# shellcheck source=tests/integration/provider/setup.sh
. "$PC_SOURCE/tests/integration/provider/setup.sh"
provider_setup
cd "$WORK" || exit 1
echo telemetry >data
# Only ossl has the provider: a sanitized module cannot be loaded into the tools that ask the TPM.
export OPENSSL_CONF=$DEFAULT_CONF
CONF=$(provider_conf good "$RECORDED" yes default plantcert)
ossl() { OPENSSL_CONF=$CONF client timeout 60 openssl "$@"; }
# asn1 FILE: the structure of a PEM file without offsets, one element a line.
asn1() { openssl asn1parse -in "$1" | sed 's/^.*cons: *//; s/^.*prim: *//; s/  *:/ :/; s/ *$//'; }

# --- nothing here needs the TPM ---
: >"$COMMANDS"
check 'both providers are active' ossl list -providers
said '^ *plantcert$' 'list -providers names plantcert'
for key in $KEYS; do
    check "$key: public key" ossl pkey -in "$key.tpm" -pubout -out "$key.pub"
    expect 1 "$key: no private key comes out" ossl pkey -in "$key.tpm" -out "$key.private"
    expect 1 "$key: nor as DER" ossl pkey -in "$key.tpm" -outform DER -out "$key.private"
    [ -s "$key.private" ] && fail "$key: something came out"
    check "$key: store, as a file" ossl storeutl "$key.tpm"
    said '0: Pkey' "$key: it is a private key"
    check "$key: store, by URI" ossl storeutl -keys "plantcert:$WORK/$key.tpm"
    said '0: Pkey' "$key: it is a private key by URI, too"
done
check 'store, URI with an empty authority' ossl storeutl "plantcert://$WORK/ec-blob.tpm"
expect 1 'store, relative path' ossl storeutl plantcert:ec-blob.tpm
expect 1 'store, no such file' ossl storeutl "plantcert:$WORK/none.tpm"
check 'store, certificates only' ossl storeutl -certs "plantcert:$WORK/ec-blob.tpm"
said 'Total found: 0' 'a key file holds no certificate'
check 'software keys are made as before' ossl genpkey -algorithm EC -pkeyopt group:P-256 -out soft.key
check '… and used' ossl req -x509 -key soft.key -subj /CN=soft -out soft.crt
check '… and read from PKCS#8 and traditional files' ossl ec -in soft.key -out soft.ec.key
same "$(cat "$COMMANDS")" '' 'none of this sent a command to the TPM'

# The TPM's own word on a key.
: >"$COMMANDS"
tpm2_readpublic -T "$SWTPM_TCTI" -c 0x81010001 -f pem -o tpm.pub >/dev/null 2>&1
same "$(cat rsa-handle.pub)" "$(cat tpm.pub)" 'the public key is the one at the handle'

# --- signatures, verified in software ---
for key in $KEYS; do
    for md in sha256 sha384 sha512; do
        check "$key: dgst -$md" ossl dgst -$md -sign "$key.tpm" -out sig data
        check "$key: it verifies" openssl dgst -$md -verify "$key.pub" -signature sig data
    done
    expect 1 "$key: SHA-1 is refused" ossl dgst -sha1 -sign "$key.tpm" -out sig data
    said 'unsuitable digest.*SHA-256, SHA-384 and SHA-512' "$key: with the reason"
    check "$key: request" ossl req -new -key "$key.tpm" -subj /CN=plc -out "$key.csr"
    check "$key: the provider's own key verifies it" ossl req -in "$key.csr" -verify -noout
    said 'verify OK' "$key: verification succeeds"
done
check 'request by URI' ossl req -new -key "plantcert:$WORK/ec-blob.tpm" -subj /CN=plc -out uri.csr
check 'raw signature of a digest' ossl pkeyutl -sign -inkey ec-blob.tpm -rawin -in data -out sig -digest sha256
check 'it verifies' openssl pkeyutl -verify -pubin -inkey ec-blob.pub -rawin -in data -sigfile sig -digest sha256

# --- AlgorithmIdentifiers: RFC 4055 §5 (NULL), RFC 5758 §3.2 (absent), RFC 4055 §3.1 ---
same "$(asn1 rsa-blob.csr | tail -n 3 | tr '\n' ' ')" 'OBJECT :sha256WithRSAEncryption NULL BIT STRING ' 'RSA: parameters are NULL'
same "$(asn1 ec-blob.csr | tail -n 3 | tr '\n' ' ')" 'SEQUENCE OBJECT :ecdsa-with-SHA256 BIT STRING ' 'ECDSA: parameters are absent'
for salt in digest 32 auto; do
    check "PSS request, salt $salt" ossl req -new -key rsa-handle.tpm -subj /CN=plc -out pss.csr -sigopt rsa_padding_mode:pss \
        -sigopt rsa_pss_saltlen:$salt
    check 'it verifies' openssl req -in pss.csr -verify -noout
    said 'verify OK' "salt $salt: verification succeeds"
done
for salt in max 0 20 222; do
    expect 1 "PSS request, salt $salt, is refused" ossl req -new -key rsa-handle.tpm -subj /CN=plc -out pss2.csr \
        -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:$salt
done
software_pss() {
    openssl genpkey -algorithm RSA -out soft.rsa 2>/dev/null &&
        openssl req -new -key soft.rsa -subj /CN=plc -out soft.csr -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
}
check 'the same from software' software_pss
pss_identifier() { asn1 "$1" | sed -n '/rsassaPss/,$p' | sed '/BIT STRING/d'; }
same "$(pss_identifier pss.csr)" "$(pss_identifier soft.csr)" 'PSS: the AlgorithmIdentifier is the one that software writes'
check 'nothing is left in the TPM' swtpm_is_clean

# --- key files that cannot be right ---
openssl enc -d -base64 -in <(sed '/-----/d' ec-handle.tpm) -out handle.der
pem() { printf -- '-----BEGIN %s-----\n%s\n-----END %s-----\n' "$1" "$(base64 -w 64 "$2")" "$1"; }
length=$(wc -c <handle.der)
for at in 4 9 $((length / 2)) $((length - 1)); do
    cp handle.der bent.der
    # Another octet than the one that is there, whichever that is.
    other='\xa5'
    [ "$(od -An -tx1 -j "$at" -N 1 handle.der | tr -d ' ')" != a5 ] || other='\x5a'
    printf '%b' "$other" | dd of=bent.der bs=1 seek="$at" conv=notrunc 2>/dev/null
    pem 'PLANTCERT TPM KEY' bent.der >bent.tpm
    expect 1 "a reference with octet $at changed" ossl dgst -sha256 -sign bent.tpm -out sig data
done
head -c 40 handle.der >short.der
pem 'PLANTCERT TPM KEY' short.der >short.tpm
expect 1 'a reference cut short' ossl pkey -in short.tpm -pubout
pem 'TSS2 PRIVATE KEY' handle.der >label.tpm
expect 1 'a reference under the wrong label' ossl pkey -in label.tpm -pubout
pem 'PLANTCERT TPM KEY' /dev/null >empty.tpm
expect 1 'an empty block' ossl pkey -in empty.tpm -pubout

# --- a TPM that is another, absent, forbidden, or in trouble ---
sign() { ossl dgst -sha256 -sign "$1.tpm" -out sig data; }
tpm2_evictcontrol -T "$SWTPM_TCTI" -C o -c 0x81010003 >/dev/null 2>&1
expect 1 'a handle that is empty' sign ec-handle
said '81010003' 'it names the handle'
check 'another key at that handle' "$MAKEKEY" "$SWTPM_TCTI" ec:P-256 81010003 "$WORK/new.tpm"
expect 1 'the old reference is refused' sign ec-handle
said 'plantcert.*the key cannot be used in this TPM' 'it says who refuses'
check 'the new one works' sign new

conf=$(provider_conf locked "$RECORDER:log=$COMMANDS,fail=0000015d@0=00000921|$SWTPM_TCTI" yes default plantcert)
CONF=$conf expect 1 'a TPM in lockout' sign rsa-blob
said 'the TPM refuses authorization.*lockout' 'it is told as that'
conf=$(provider_conf forbidden "$SWTPM_TCTI" no default plantcert)
CONF=$conf expect 1 'a simulator without leave' sign ec-blob
said 'settings are wrong.*simulator' 'it says why'
PLANTCERT_ALLOW_SIMULATOR=yes CONF=$conf check 'leave from the environment' sign ec-blob
PLANTCERT_ALLOW_SIMULATOR=no expect 1 'leave taken away by the environment' sign ec-blob
conf=$(provider_conf absent "device:$WORK/tpmrm0" no plantcert default)
CONF=$conf expect 1 'no TPM' sign ec-blob
said 'cannot be reached.*tpmrm0' 'it names the device'
PLANTCERT_TCTI=$SWTPM_TCTI PLANTCERT_ALLOW_SIMULATOR=yes CONF=$conf check 'the TPM from the environment' sign ec-blob
swtpm_is_clean || fail 'something is left in the TPM'

CONF=$conf
check 'without a TPM: a certificate is read' ossl x509 -in soft.crt -noout -subject
check 'without a TPM: a software key signs' ossl req -x509 -key soft.key -subj /CN=soft -out soft.crt
check 'without a TPM: a chain is verified' ossl verify -CAfile soft.crt soft.crt
check 'without a TPM: a public key is shown' ossl pkey -in rsa-blob.tpm -pubout
openssl s_server -accept 127.0.0.1:0 -www -cert soft.crt -key soft.key >server.log 2>&1 </dev/null &
PIDS+=($!)
wait_for 10 grep -q '^ACCEPT' server.log
port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.log)
if [ -n "${PC_PRELOAD:-}" ]; then
    skip 'without a TPM: curl without a client key' "$CURL_SANITIZED"
else
    OPENSSL_CONF=$CONF check 'without a TPM: curl without a client key' curl -sSk --max-time 10 -o page "https://127.0.0.1:$port/"
fi

# Another TPM: its storage key does not unwrap our blobs.
swtpm_stop
swtpm_start other
CONF=$(provider_conf other "$SWTPM_TCTI" yes default plantcert)
check 'another TPM has a storage key' "$MAKEKEY" "$SWTPM_TCTI" ec:P-256 blob "$WORK/theirs.tpm"
expect 1 "a blob of another TPM is refused" sign ec-blob
said 'plantcert.*the key cannot be used in this TPM' 'it says who refuses'
check 'nothing is left in that TPM' swtpm_is_clean
finish
