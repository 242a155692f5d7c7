#!/bin/bash
# A TPM that salts PSS as long as it can, or lacks a kind of key: told when the key is made, and key = auto takes the other kind.
# The key is one that was imported, so that the recorder can sign with its other half; it stands where a cut would have left it.
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/cli/setup.sh
. "$PC_SOURCE/tests/cli/setup.sh"
. "$PC_SOURCE/tests/integration/tpm/driver.sh"
need tpm2_import openssl
cd "$WORK" || exit 1
plc_start
expect 0 "a storage key" drive create ec none.pem
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out software.pem 2>/dev/null
tpm2_import -Q -T "$SWTPM_TCTI" -C 0x81000001 -G rsa2048 -i software.pem -a 'userwithauth|noda|sign' -u key.pub -r key.priv
tpm2_flushcontext -T "$SWTPM_TCTI" -t
hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
cat >key.cnf <<CNF
asn1 = SEQUENCE:key
[key]
type = OID:2.23.133.10.1.3
auth = EXPLICIT:0,BOOLEAN:TRUE
parent = INTEGER:0x81000001
public = FORMAT:HEX,OCTETSTRING:$(hex key.pub)
private = FORMAT:HEX,OCTETSTRING:$(hex key.priv)
CNF
openssl asn1parse -genconf key.cnf -noout -out key.der
{
    echo "-----BEGIN TSS2 PRIVATE KEY-----"
    openssl base64 -in key.der
    echo "-----END TSS2 PRIVATE KEY-----"
} >key.pem

# keygen KIND RULES: continues with the imported key in pending/.
keygen() {
    rm -rf voke && mkdir -p voke/pending && cp key.pem voke/pending/key.tpm
    sed -i "s|^key .*|key = $1|; s|^tcti .*|tcti = $RECORDER:$2\|$SWTPM_TCTI|" "$PLANTCERT_CONFIG"
    "$PLANTCERT" keygen --json
}
ours() { swtpm_handles persistent | grep -c '^0x8102'; }

check "a key whose salt is as long as the digest" keygen rsa:2048 "log=$WORK/log"
json "is good" 'd["pending"]["key"] == "rsa:2048"'
expect 0 "forget" "$PLANTCERT" forget
expect 5 "one with the longest salt is not kept" keygen rsa:2048 "salt=$WORK/software.pem"
json "… which is told" 'd["error"]["name"] == "tpm-pss-salt" and "TLS 1.3" in d["error"]["message"] and "rsa:2048" in d["error"]["message"]'
same "$(ours) $(ls voke)" "0 " "… nothing of it stays"
check "… with key = auto" keygen auto "salt=$WORK/software.pem"
json "a P-256 key is made in its place" 'd["made"] and d["pending"]["key"] == "ec:P-256"'
said 'TLS 1.3 refuses.*: the key is made as ec:P-256' "… which is told"
same "$(ours)" 1 "… it alone persists"
check "… asked again" "$PLANTCERT" keygen --json
json "… it is the same" 'not d["made"] and d["pending"]["key"] == "ec:P-256"'
expect 0 "forget" "$PLANTCERT" forget

# fresh KIND RULES: with nothing pending.
fresh() {
    rm -rf voke && mkdir voke
    sed -i "s|^key .*|key = $1|; s|^tcti .*|tcti = $RECORDER:$2\|$SWTPM_TCTI|" "$PLANTCERT_CONFIG"
    "$PLANTCERT" keygen --json
}
expect 5 "a TPM without RSA" fresh rsa:2048 fail=153@1=2c4
json "… is told" 'd["error"]["name"] == "tpm-unsupported" and "makes no key of kind rsa:2048" in d["error"]["message"]'
expect 5 "a TPM without P-256" fresh ec:P-256 fail=153@1=2e6
json "… is told" 'd["error"]["name"] == "tpm-unsupported" and "makes no key of kind ec:P-256" in d["error"]["message"]'
check "without RSA, key = auto" fresh auto fail=153@1=2c4
json "… makes a P-256 key" 'd["made"] and d["pending"]["key"] == "ec:P-256"'
expect 0 "forget" "$PLANTCERT" forget
expect 5 "without either, key = auto" fresh auto fail=153@0=2c4
json "… is told" 'd["error"]["name"] == "tpm-unsupported"'
check "with both, key = auto" fresh auto "log=$WORK/log"
json "… makes an RSA key" 'd["made"] and d["pending"]["key"] == "rsa:2048"'
check "nothing stays loaded" swtpm_is_clean
finish
