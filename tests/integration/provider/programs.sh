#!/bin/bash
# Keys and programs that are not ours: keys that tpm2-openssl and tpm2-tools made, our keys there, CMS, what a configuration that lacks
# something does, an SRK with an auth value, and what reaches a program's stderr.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh"
# shellcheck source=tests/integration/provider/setup.sh
. "$PC_SOURCE/tests/integration/provider/setup.sh"
need tpm2_create tpm2_encodeobject /usr/bin/python3
provider_setup
cd "$WORK" || exit 1
echo telemetry >data
export OPENSSL_CONF=$DEFAULT_CONF TPM2OPENSSL_TCTI=$SWTPM_TCTI
openssl list -providers -provider tpm2 >/dev/null 2>&1 || need tpm2-openssl
CONF=$(provider_conf good "$SWTPM_TCTI" yes default plantcert)
ossl() { OPENSSL_CONF=$CONF client timeout 60 openssl "$@"; }
theirs() { timeout 60 openssl "$1" -provider tpm2 -provider default -propquery '?provider=tpm2' "${@:2}"; }
# Verified by software with the public key that the file itself gives.
signs() {
    ossl dgst -sha256 -sign "$1" -out sig "${@:2}" data && ossl pkey -in "$1" -pubout -out pub && openssl dgst -sha256 -verify pub -signature sig "${@:2}" data
}

# --- keys of tpm2-openssl; the owner's parent, and a persistent one ---
their_key() { check "tpm2-openssl makes a key, $1" theirs genpkey "${@:2}" -out "$1.tpm"; }
their_key rsa -algorithm RSA -pkeyopt bits:2048
their_key ec -algorithm EC -pkeyopt group:P-256
their_key p384 -algorithm EC -pkeyopt group:P-384
their_key parent -algorithm EC -pkeyopt group:P-256 -pkeyopt parent:0x81000001
their_key rsa-parent -algorithm RSA -pkeyopt bits:2048 -pkeyopt parent:0x81000001
for key in rsa ec p384 parent rsa-parent; do
    check "tpm2-openssl's $key signs here" signs $key.tpm
    check "and is found by storeutl" ossl storeutl $key.tpm
    said '0: Pkey' 'as a private key'
done
check "tpm2-openssl's rsa: PSS" signs rsa.tpm -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
their_key auth -algorithm EC -pkeyopt group:P-256 -pkeyopt user-auth:secret
expect 1 'a key with an auth value is refused' ossl dgst -sha256 -sign auth.tpm -out sig data
said 'an auth value is not supported' 'and it is said why'
check 'nothing is left in the TPM' swtpm_is_clean

# --- ours there: the wrapped ones; a reference is a form of our own ---
for key in rsa-blob ec-blob; do
    ossl pkey -in $key.tpm -pubout -out pub
    check "our $key signs with tpm2-openssl" theirs dgst -sha256 -sign $key.tpm -out sig data
    check 'and it verifies' openssl dgst -sha256 -verify pub -signature sig data
done
expect 1 'a reference means nothing to it' theirs dgst -sha256 -sign ec-handle.tpm -out sig data

# --- keys of tpm2-tools (whose -p, in 5.4, says the reverse of what it means, and which leave a session behind), under an SRK that has an auth value ---
foreign() {
    tpm2_create -Q -T "$SWTPM_TCTI" -C "$1" "${@:3}" -G ecc -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign' -u k.pub -r k.priv &&
        tpm2_encodeobject -Q -T "$SWTPM_TCTI" -C "$1" "${@:3}" -p -u k.pub -r k.priv -o "$2" && tpm2_flushcontext -T "$SWTPM_TCTI" -t &&
        tpm2_flushcontext -T "$SWTPM_TCTI" -l
}
check 'tpm2-tools make a key' foreign 0x81000001 tools.tpm
check 'it signs here' signs tools.tpm
guarded_srk() { # HANDLE [ATTRIBUTE…]
    tpm2_createprimary -Q -T "$SWTPM_TCTI" -C o -G ecc256:aes128cfb -p srk-secret -c primary.ctx \
        -a "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt${2:-}" &&
        tpm2_evictcontrol -Q -T "$SWTPM_TCTI" -C o -c primary.ctx "$1" && tpm2_flushcontext -T "$SWTPM_TCTI" -t
}
check 'an SRK with an auth value' guarded_srk 0x81000020 '|noda'
check 'a key under it' foreign 0x81000020 guarded.tpm -P srk-secret
expect 1 'without the value it is refused' ossl dgst -sha256 -sign guarded.tpm -out sig data
said 'the TPM refuses authorization' 'and it is said why'
with_auth() { # FILE: the configuration, with the SRK's auth value in that file
    cp "$GOOD" auth.cnf
    echo "srk-auth-file = $1" >>auth.cnf
    echo "$WORK/auth.cnf"
}
(umask 077 && echo srk-secret >srk.auth && echo wrong >wrong.auth)
GOOD=$CONF
CONF=$(with_auth "$WORK/srk.auth")
check 'with it, it signs' signs guarded.tpm
check 'other keys need none, and do not mind: a handle' signs ec-handle.tpm
CONF=$(with_auth "$WORK/wrong.auth")
expect 1 'with a wrong one it does not' ossl dgst -sha256 -sign guarded.tpm -out sig data
said 'the TPM refuses authorization' 'and it is said why'
CONF=$(with_auth "$WORK/none.auth")
expect 1 'nor with a file that is not there' ossl dgst -sha256 -sign guarded.tpm -out sig data
said 'settings are wrong.*none.auth' 'which is named'
check 'a key at a handle does not ask for the file' signs ec-handle.tpm
chmod 0644 srk.auth
CONF=$(with_auth "$WORK/srk.auth")
expect 1 'nor with one that anybody may read' ossl dgst -sha256 -sign guarded.tpm -out sig data
said 'settings are wrong.*srk.auth.*mode' 'and it is said why'
# A client that nobody visits connects again and again: a TPM that counts must not be led into lockout by that.
check 'an SRK that is not noDA' guarded_srk 0x81000021
check 'a key under it' foreign 0x81000021 counted.tpm -P srk-secret
five_times() { WORK=$WORK OPENSSL_CONF=$1 client "$PC_BUILD/tests/integration/provider/provider_load" 5 "$2"; }
expect 1 'a program signs five times with a wrong value' five_times "$(with_auth "$WORK/wrong.auth")" counted.tpm
same "$(swtpm_lockout)" 1 'which the TPM was told once'
expect 1 'another does without one' five_times "$GOOD" counted.tpm
same "$(swtpm_lockout)" 2 'which the TPM was told once, too'
chmod 0600 srk.auth
check 'with the right one it signs five times' five_times "$(with_auth "$WORK/srk.auth")" counted.tpm
CONF=$GOOD
check 'nothing is left in the TPM' swtpm_is_clean

# --- CMS, a certificate of one's own, and verification with the key file itself ---
for key in rsa-handle ec-blob; do
    check "$key: a certificate of its own" ossl req -x509 -new -key $key.tpm -subj /CN=plc -out $key.crt
    check "$key: cms -sign" ossl cms -sign -binary -in data -signer $key.crt -inkey $key.tpm -outform PEM -nodetach -out cms.pem
    check "$key: cms -verify" openssl cms -verify -binary -in cms.pem -inform PEM -CAfile $key.crt -purpose any -out cms.out
    same "$(cat cms.out)" telemetry "$key: what was signed comes out"
    check "$key: dgst -prverify, with the key file" ossl dgst -sha256 -sign $key.tpm -out sig data
    check "$key: verifies" ossl dgst -sha256 -prverify $key.tpm -signature sig data
    echo other >other
    expect 1 "$key: something else does not" ossl dgst -sha256 -prverify $key.tpm -signature sig other
done
expect 1 "another key's signature does not" ossl dgst -sha256 -prverify rsa-handle.tpm -signature sig data
check 'PSS certificate' ossl req -x509 -new -key rsa-blob.tpm -subj /CN=plc -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -out pss.crt
check 'verifies' openssl verify -CAfile pss.crt pss.crt

# --- configurations that lack something ---
expect 1 'without the provider: the key file is no key' openssl pkey -in ec-handle.tpm -pubout
said 'Could not read key' 'and that is all that OpenSSL says'
sed "s|^module.*|module = $WORK/none.so|" "$GOOD" >none.cnf
OPENSSL_CONF=$WORK/none.cnf check 'the module is missing: openssl goes on without it' openssl dgst -sha256 data
OPENSSL_CONF=$WORK/none.cnf expect 1 'but takes no TPM key' openssl pkey -in ec-handle.tpm -pubout
python() { OPENSSL_CONF=$1 client /usr/bin/python3 -c "$2"; }
check 'so does python' python "$WORK/none.cnf" 'import ssl; ssl.create_default_context()'
LOAD="import ssl; ssl.create_default_context().load_cert_chain('ec-blob.crt', 'ec-blob.tpm')"
expect 1 'nor does python take one' python "$WORK/none.cnf" "$LOAD"
check 'with it, it does' python "$GOOD" "$LOAD"
grep -v '^default = \|^\[default_section\]' "$GOOD" | sed '0,/^activate = 1$/{//d}' >alone.cnf
OPENSSL_CONF=$WORK/alone.cnf expect 1 'default is not activated: no digest' client openssl dgst -sha256 data
expect 1 'nor a TLS context' python "$WORK/alone.cnf" 'import ssl; ssl.create_default_context()'
printf '%s\n' 'openssl_conf = init' '[init]' 'providers = list' '[list]' 'default = d' '[d]' 'activate = 1' >default.cnf
expect 1 'only default is activated: the key file is no key' python "$WORK/default.cnf" "$LOAD"

# --- tpm2-tss on the program's stderr: nothing, unless asked for ---
unset TSS2_LOG
tpm2_evictcontrol -Q -T "$SWTPM_TCTI" -C o -c 0x81010003
expect 1 'a handle that is empty' ossl dgst -sha256 -sign ec-handle.tpm -out sig data
said '81010003' 'it is said which'
same "$(cat out err | grep -cE '^(ERROR|WARNING):')" 0 'and tpm2-tss does not add to it'
TSS2_LOG=all+ERROR expect 1 'asked for by TSS2_LOG' ossl dgst -sha256 -sign ec-handle.tpm -out sig data
said '^ERROR:esys' 'it does'
finish
