#!/bin/bash
# A TPM with an owner: auth values, storage keys and handles of others, no slot left, dictionary-attack lockout.
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
. "$PC_SOURCE/tests/lib/swtpm.sh"
. "$PC_SOURCE/tests/integration/tpm/driver.sh"
need_swtpm tpm2_createprimary tpm2_create tpm2_evictcontrol tpm2_flushcontext tpm2_changeauth tpm2_readpublic \
    tpm2_dictionarylockout tpm2_load tpm2_unseal openssl
cd "$WORK" || exit 1
swtpm_start tpm
export TPM2TOOLS_TCTI="$SWTPM_TCTI"

parent_of() { openssl asn1parse -in "$1" | sed -n 's/.*INTEGER *://p'; }
name_at() { tpm2_readpublic -Q -c "$1" -o public.bin -f tss -n name.bin && od -An -tx1 name.bin | tr -d ' \n'; }
# count CODE: how often the last drive sent it.
count() { grep -c "^00000$1 " "$WORK/log"; }
owner() { DRIVER_OWNER_AUTH=$1 drive "${@:2}"; }
srk() { DRIVER_SRK_AUTH=$1 drive "${@:2}"; }
ATTRIBUTES='fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt'
# srk_of_theirs AUTH ATTRIBUTES OPTION…: puts a storage key at the SRK's handle.
srk_of_theirs() {
    local auth=$1 attributes=$2
    shift 2
    tpm2_evictcontrol -Q -C o -c 0x81000001 2>/dev/null
    tpm2_createprimary -Q -C o -p "$auth" -a "$attributes" -c primary.ctx "$@" && tpm2_flushcontext -t &&
        tpm2_evictcontrol -Q -C o -c primary.ctx 0x81000001 && tpm2_flushcontext -t
}

# --- the owner's auth value ---
tpm2_changeauth -c o secret
refused 3 tpm-auth "where the owner has an auth value, no SRK is made without it" drive create ec none.pem
said 'owner hierarchy wants an auth value, and none was given; --owner-auth-file or \[tpm\] owner-auth-file' "… which says so"
refused 3 tpm-auth "… nor with a wrong one" owner wrong create ec none.pem
said 'refuses the auth value that was given' "… which says so"
same "$(count 131)" 1 "… tried once"
check "… nothing stays loaded" swtpm_is_clean
refused 3 tpm-auth "… nor with one that no TPM can have" owner "$(printf 'x%.0s' {1..65})" create ec none.pem
check "… which is not even sent" test ! -e log
expect 0 "… but with the right one" owner secret create ec ec.pem
check "… nothing stays loaded" swtpm_is_clean
expect 0 "under the SRK that is there, a key is made without it" drive create rsa rsa.pem
refused 3 tpm-auth "… but not made persistent" drive persist ec.pem 81010010 none.pem
same "$(count 120)" 1 "… tried once"
refused 3 tpm-auth "… nor with a wrong value" owner wrong persist ec.pem 81010010 none.pem
same "$(count 120)" 1 "… tried once"
check "… nothing stays loaded" swtpm_is_clean
expect 0 "… but with the right one" owner secret persist ec.pem 81010010 handle.pem
expect 0 "… after which the key signs without it" drive sign handle.pem ecdsa SHA256 signature
refused 3 tpm-auth "it is not evicted without it" drive evict 81010010 ec.pem
refused 3 tpm-auth "… nor with a wrong value" owner wrong evict 81010010 ec.pem
expect 0 "… it is there still" drive probe handle.pem
expect 0 "… it is evicted with it" owner secret evict 81010010 ec.pem
check "nothing stays loaded" swtpm_is_clean
printf secret >owner.txt
check "no command had the value in it" sh -c '! grep -q 736563726574 log'
tpm2_changeauth -c o -p secret

# --- an SRK that has an auth value ---
check "somebody's SRK of our template, with an auth value" srk_of_theirs secret "$ATTRIBUTES" -G ecc256:null:aes128cfb -g sha256
before=$(name_at 0x81000001)
refused 3 tpm-auth "no key is made under it without that" drive create ec none.pem
said 'storage key \(SRK\) wants an auth value, and none was given; --srk-auth-file or \[tpm\] srk-auth-file' "… which says so"
same "$(count 153)" 1 "… tried once"
check "… nothing stays loaded" swtpm_is_clean
refused 3 tpm-auth "… nor with a wrong one" srk wrong create ec none.pem
said 'refuses the auth value that was given' "… which says so"
expect 0 "… but with the right one" srk secret create ec ec.pem
same "$(parent_of ec.pem)" 81000001 "… the file names that SRK"
refused 3 tpm-auth "the blob is not loaded without it" drive test ec.pem
same "$(count 157)" 1 "… tried once"
refused 3 tpm-auth "… nor with a wrong one" srk wrong test ec.pem
expect 0 "… but with the right one" srk secret test ec.pem
expect 0 "… it becomes persistent" srk secret persist ec.pem 81010010 handle.pem
expect 0 "… and then signs without it" drive test handle.pem
expect 0 "… it is evicted" drive evict 81010010 ec.pem
same "$(name_at 0x81000001)" "$before" "the SRK is as it was"
tpm2_evictcontrol -Q -C o -c 0x81000001
expect 0 "an SRK that is made gets the value that is given" srk secret create ec own.pem
refused 3 tpm-auth "… so that nobody loads a blob without it" drive test own.pem
expect 0 "… but with it" srk secret test own.pem
check "nothing stays loaded" swtpm_is_clean
same "$(swtpm_lockout)" 0 "no failure was counted in all this"

# --- somebody else's SRK ---
without_noda=${ATTRIBUTES/|noda/}
foreign() {
    local what=$1 before
    check "an SRK of another template: $what" srk_of_theirs "${@:2}"
    before=$(name_at 0x81000001)
    expect 0 "… a key is made all the same" drive create ec own.pem
    same "$(name_at 0x81000001)" "$before" "… the SRK is left alone"
    same "$(parent_of own.pem)" 40000001 "… the file names the owner's primary"
    expect 0 "… it signs" drive test own.pem
    expect 0 "… it becomes persistent" drive persist own.pem 81010010 own-handle.pem
    expect 0 "… it signs there" drive test own-handle.pem
    expect 0 "… it is evicted" drive evict 81010010 own.pem
    refused 5 handle-foreign "… the SRK is not" drive evict 81000001 own.pem
    refused 5 handle-occupied "… nor overwritten" drive persist own.pem 81000001 none.pem
    same "$(name_at 0x81000001)" "$before" "… it is as it was"
    check "… nothing stays loaded" swtpm_is_clean
}
foreign "without noDA" "" "$without_noda" -G ecc256:null:aes128cfb -g sha256
foreign "RSA" "" "$ATTRIBUTES" -G rsa2048:null:aes128cfb -g sha256
foreign "AES-256" "" "$ATTRIBUTES" -G ecc256:null:aes256cfb -g sha256
foreign "with an auth value" secret "$without_noda" -G ecc256:null:aes128cfb -g sha256
same "$(swtpm_lockout)" 0 "no failure was counted in all this"

# --- no slot left ---
tpm2_createprimary -Q -C o -G rsa2048 -g sha256 -c primary.ctx -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign' &&
    tpm2_flushcontext -t
tpm2_evictcontrol -Q -C o -c primary.ctx 0x81010010
tpm2_flushcontext -t
expect 0 "a key of ours beside somebody's" drive persist own.pem 81010011 own-handle.pem
refused 4 tpm-full "all handles that may be used are taken" drive free 81010010 81010011
said '0x81010010 \(rsa:2048 signing key, not plantcert.s\), 0x81010011 \(ec:P-256 signing key as plantcert makes it\)$' \
    "… the text lists them"
next=0x81020000
while tpm2_evictcontrol -Q -C o -c primary.ctx "$next" 2>/dev/null; do
    tpm2_flushcontext -t
    next=$(printf '0x%x' $((next + 1)))
done
tpm2_flushcontext -t
refused 4 tpm-full "the TPM itself has no slot left" drive persist own.pem 81010012 none.pem
said '0x81000001 \(ec:P-256 storage key, not plantcert.s\), 0x81010010 .*, 0x81010011 .*, 0x81020000' "… the text lists all"
check "… nothing stays loaded" swtpm_is_clean
refused 5 handle-occupied "… an occupied handle is told apart" drive persist own.pem 81010010 none.pem
expect 0 "… and the key's own" drive persist own.pem 81010011 again.pem

# --- lockout by another program's fault ---
expect 0 "a blob of ours" drive create rsa rsa.pem
check "a storage key without noDA" srk_of_theirs "" "$without_noda" -G ecc256:null:aes128cfb -g sha256
theirs() {
    TPM2OPENSSL_TCTI="$SWTPM_TCTI" openssl genpkey -provider tpm2 -provider default -algorithm EC -pkeyopt group:P-256 \
        -pkeyopt parent:0x81000001 -out theirs.pem
}
check "… and tpm2-openssl's key under it" theirs
expect 0 "… which signs here" drive test theirs.pem
printf data >data
tpm2_create -Q -C 0x81000001 -p right -i data -u seal.pub -r seal.priv
tpm2_flushcontext -t
tpm2_load -Q -C 0x81000001 -u seal.pub -r seal.priv -c seal.ctx
tpm2_flushcontext -t
tpm2_dictionarylockout -Q -s -n 3 -t 7200 -l 1000
refused 3 tpm-auth "a wrong auth value is not tried twice" srk wrong test theirs.pem
same "$(count 157) $(swtpm_lockout)" "1 1" "… and counts once"
for _ in 1 2; do
    tpm2_unseal -Q -c seal.ctx -p wrong 2>/dev/null
    tpm2_flushcontext -t
done
same "$(swtpm_lockout)" 3 "somebody gives wrong auth values until the TPM locks"
refused 3 tpm-lockout "what is protected against that does not work" drive test theirs.pem
said 'after 3 of 3 failures .* within 7200 s \(2 h\)' "… with how long to wait"
same "$(sent)" "17a 173 17a" "… and is not even tried"
refused 3 tpm-lockout "… with an auth value neither" srk wrong test theirs.pem
same "$(count 157)" 0 "… which is not tried"
expect 0 "a ready key of ours goes on working" drive test own-handle.pem
expect 0 "… a blob, too" drive test rsa.pem
expect 0 "… a new one is made" drive create ec new.pem
expect 0 "… one is removed" drive evict 81010011 own.pem
expect 0 "… and the new one made persistent" drive persist new.pem 81010011 new-handle.pem
expect 0 "the TPM says that it is locked" drive describe
said '^lockout 1 3 3 7200$' "… with counter, limit and time"
check "nothing stays loaded" swtpm_is_clean
finish
