#!/bin/bash
# Keys in a real software TPM: made, kept at handles and as blobs, used, told apart from others', and the commands that this costs.
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
. "$PC_SOURCE/tests/lib/swtpm.sh"
. "$PC_SOURCE/tests/integration/tpm/driver.sh"
need_swtpm tpm2_createprimary tpm2_evictcontrol tpm2_flushcontext tpm2_clear tpm2_changeauth tpm2_readpublic openssl
cd "$WORK" || exit 1
swtpm_start tpm

# verifies KEYFILE SIGNATURE DIGEST [OPTION…]: OpenSSL, which knows nothing of us, accepts the signature of "message".
verifies() {
    "$DRIVER" public "$1" >pub.pem &&
        printf message | openssl dgst "-$3" -verify pub.pem -signature "$2" "${@:4}"
}
# parent_of KEYFILE: the INTEGER of a TSS2 PRIVATE KEY.
parent_of() { openssl asn1parse -in "$1" | sed -n 's/.*INTEGER *://p'; }
attributes() { openssl asn1parse -in "$1" | grep -c 000B00040472; }

# --- birth ---
expect 0 "an EC key is made where no SRK is" drive create ec ec.pem
same "$(sent)" "17a 17a 173 131 120 165 176 153" "… with eight commands, the SRK's making among them"
check "… nothing stays loaded" swtpm_is_clean
same "$(swtpm_handles persistent)" 0x81000001 "… the SRK alone persists"
tpm2_readpublic -T "$SWTPM_TCTI" -c 0x81000001 >srk.txt
check "… made with noDA" grep -q 'raw: 0x30472' srk.txt
same "$(parent_of ec.pem)" 81000001 "… the file names it as the parent"
same "$(attributes ec.pem)" 1 "… the key's attributes are 0x00040472"
expect 0 "an RSA key is made under that SRK" drive create rsa rsa.pem
same "$(sent)" "17a 17a 173 176 153" "… with five commands"
check "… nothing stays loaded" swtpm_is_clean
same "$(attributes rsa.pem)" 1 "… the key's attributes are 0x00040472"
refused 2 usage "a P-384 device key is refused" drive create p384 none.pem
check "… no file appears" test ! -e none.pem

# --- blobs ---
for kind in ec rsa; do
    expect 0 "a blob key signs ($kind)" drive test $kind.pem
done
expect 0 "a blob is probed" drive probe ec.pem
same "$(sent)" "17a 173 157 165" "… by loading and flushing it, after a look for leftovers"
expect 0 "a blob signs once" drive sign ec.pem ecdsa SHA256 signature
same "$(sent)" "173 157 15d 165" "… with Load, Sign, Flush, and ReadPublic of the parent"
expect 0 "… and tests itself with both schemes of RSA" drive test rsa.pem
same "$(sent)" "17a 173 157 15d 15d 165" "… loaded once"
DRIVER_THOROUGH=yes expect 0 "… for a program that follows a killed run" drive sign ec.pem ecdsa SHA256 signature
same "$(sent)" "17a 173 157 15d 165" "… it looks for leftovers, too"
check "… nothing stays loaded" swtpm_is_clean

# --- handles ---
expect 0 "the EC key becomes persistent" drive persist ec.pem 81010010 ec-handle.pem
same "$(sent)" "17a 17a 173 157 120 165" "… with six commands"
expect 0 "the RSA key becomes persistent" drive persist rsa.pem 81010011 rsa-handle.pem
same "$(swtpm_handles persistent | tr '\n' ' ')" "0x81000001 0x81010010 0x81010011 " "… both are there"
check "… nothing stays loaded" swtpm_is_clean
expect 0 "made persistent once more, it is already" drive persist ec.pem 81010010 again.pem
check "… the file is the same" cmp ec-handle.pem again.pem
refused 5 handle-occupied "another key's handle is not taken" drive persist ec.pem 81010011 none.pem
check "… no file appears" test ! -e none.pem
for handle in 80000000 81800000 01c00002 81ffffff 40000001; do
    refused 2 usage "0x$handle is no handle of the owner's" drive persist ec.pem $handle none.pem
done
expect 0 "a handle key is probed" drive probe ec-handle.pem
same "$(sent)" "173" "… with one ReadPublic"
DRIVER_THOROUGH=yes expect 0 "… for a program that follows a killed run" drive sign ec-handle.pem ecdsa SHA256 signature
same "$(sent)" "173 15d" "… a signature costs no more"
rm -f signature
check "a reference file holds no private part" sh -c '! grep -q "TSS2 PRIVATE KEY" ec-handle.pem'

for digest in SHA256 SHA384 SHA512; do
    for scheme in rsassa rsapss; do
        options=()
        [ $scheme = rsapss ] && options=(-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest)
        expect 0 "$scheme with $digest" drive sign rsa-handle.pem $scheme $digest signature
        same "$(sent)" "173 15d" "… with two commands"
        check "… OpenSSL verifies it" verifies rsa-handle.pem signature $digest ${options[@]+"${options[@]}"}
    done
    expect 0 "ecdsa with $digest" drive sign ec-handle.pem ecdsa $digest signature
    same "$(sent)" "173 15d" "… with two commands"
    check "… OpenSSL verifies it" verifies ec-handle.pem signature $digest
done
rm -f signature
refused 5 tpm-digest "SHA-1 is not signed" drive sign rsa-handle.pem rsassa SHA1 signature
refused 5 tpm-digest "SHA-224 is not signed" drive sign rsa-handle.pem rsassa SHA224 signature
refused 5 tpm-unsupported "an RSA key makes no ECDSA signature" drive sign rsa-handle.pem ecdsa SHA256 signature
refused 5 tpm-unsupported "an EC key makes no PSS signature" drive sign ec-handle.pem rsapss SHA256 signature
check "… none of these left a signature" test ! -e signature

# --- finding and removing ---
expect 0 "the first free handle is found" drive free 81010010 8101001f
said '^0x81010012$' "… behind the taken ones"
expect 0 "a free first handle is taken" drive free 81010005 8101001f
said '^0x81010005$' "… it is"
refused 4 tpm-full "a range without a free handle" drive free 81010010 81010011
refused 2 usage "a range beyond the owner's" drive free 81010010 81800000
expect 0 "the Name at a handle" drive name 81010010
said "^$(tpm2_readpublic -T "$SWTPM_TCTI" -c 0x81010010 | sed -n 's/^name: //p')\$" "… is what tpm2-tools read there"
refused 5 handle-free "nothing is at a free handle" drive name 81010012
expect 0 "a device key is taken back by its handle" drive adopt 81010011 adopted.pem
check "… as the same reference" cmp adopted.pem rsa-handle.pem
refused 5 handle-free "nothing is to be taken back at a free handle" drive adopt 81010012 none.pem
refused 5 handle-foreign "the SRK is no device key" drive adopt 81000001 none.pem
refused 2 usage "nor is a handle of the platform's" drive adopt 81800001 none.pem
refused 5 handle-foreign "a handle with another Name is not evicted" drive evict 81010011 ec.pem
refused 5 handle-foreign "the SRK is not evicted" drive evict 81000001 ec.pem
same "$(swtpm_handles persistent | wc -l)" 3 "… all are there still"
expect 0 "our own is evicted" drive evict 81010011 rsa.pem
expect 0 "… and again: nothing to do" drive evict 81010011 rsa.pem
same "$(swtpm_handles persistent | wc -l)" 2 "… it alone is gone"
refused 5 key-absent "its reference is dead" drive sign rsa-handle.pem rsassa SHA256 signature
same "$(sent)" "173" "… found by ReadPublic, before any Sign"
refused 5 key-absent "… for a probe as well" drive probe rsa-handle.pem
expect 0 "another key takes the handle" drive persist ec.pem 81010011 other.pem
refused 5 key-name "the old reference does not sign with it" drive sign rsa-handle.pem rsassa SHA256 signature
same "$(sent)" "173" "… found by its Name, before any Sign"
refused 5 key-name "… for a probe as well" drive probe rsa-handle.pem
check "nothing stays loaded" swtpm_is_clean

# --- several at once, of which each believes the TPM's leftovers to be its own ---
many=()
for n in 1 2 3 4 5 6; do
    DRIVER_TCTI="$SWTPM_TCTI" "$DRIVER" sign rsa.pem rsapss SHA256 "many$n" 2>"many$n.err" &
    many+=($!)
    DRIVER_TCTI="$SWTPM_TCTI" "$DRIVER" probe ec.pem 2>"probe$n.err" &
    many+=($!)
done
failed=0
for pid in "${many[@]}"; do wait "$pid" || failed=$((failed + 1)); done
same "$failed $(cat many?.err probe?.err)" "0 " "twelve processes take turns, and none fails"
check "… nothing stays loaded" swtpm_is_clean

# --- power cuts ---
swtpm_restart
expect 0 "after a power cut the handle signs" drive test ec-handle.pem
expect 0 "… and the blob" drive test rsa.pem

# --- tpm2-openssl's files, and ours for it ---
# It opens its TPM when it is loaded: without this it looks for one of the machine's.
export TPM2OPENSSL_TCTI="$SWTPM_TCTI"
if openssl list -providers -provider tpm2 >/dev/null 2>&1; then
    genpkey() { openssl genpkey -provider tpm2 -provider default "$@"; }
    check "tpm2-openssl makes an RSA key" genpkey -algorithm RSA -out theirs-rsa.pem
    check "… an EC key" genpkey -algorithm EC -pkeyopt group:P-256 -out theirs-ec.pem
    check "… an EC key under the persistent SRK" genpkey -algorithm EC -pkeyopt group:P-256 \
        -pkeyopt parent:0x81000001 -out theirs-srk.pem
    check "… a P-384 key" genpkey -algorithm EC -pkeyopt group:P-384 -out theirs-p384.pem
    check "… a key with an auth value" genpkey -algorithm EC -pkeyopt group:P-256 -pkeyopt user-auth:abc \
        -out theirs-auth.pem
    same "$(parent_of theirs-ec.pem)" 40000001 "its parent is the owner"
    for key in rsa ec srk p384; do
        expect 0 "theirs-$key signs here" drive test theirs-$key.pem
        check "… nothing stays loaded" swtpm_is_clean
    done
    refused 5 keyfile-unsupported "an auth value is refused" drive test theirs-auth.pem
    ours_there() {
        printf message | openssl dgst -sha256 -binary >digest
        openssl pkeyutl -provider tpm2 -provider default -sign -inkey "$1" -in digest -out signature \
            -pkeyopt digest:sha256 && verifies "$1" signature SHA256
    }
    check "our EC file signs with tpm2-openssl" ours_there ec.pem
else
    skip "tpm2-openssl" "its provider is not installed"
fi

# --- TPM2_Clear ---
tpm2_clear -T "$SWTPM_TCTI" -c p
refused 5 key-absent "after TPM2_Clear the handle is dead" drive test ec-handle.pem
refused 5 key-absent "… the blob has lost its parent" drive test ec.pem
expect 0 "… a new key is made, with a new SRK" drive create ec new.pem
refused 5 key-absent "… under which the old blob does not load" drive test ec.pem
same "$(grep -c '^00000157 000001df$' log)" 1 "… which the TPM says, with 0x1DF"
expect 0 "… the new one signs" drive test new.pem
check "… nothing stays loaded" swtpm_is_clean

same "$(swtpm_lockout)" 0 "no dictionary-attack failure was counted in all this"
finish
