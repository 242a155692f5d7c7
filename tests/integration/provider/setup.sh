# shellcheck shell=bash
# What the provider's tests share: a raw swtpm with four keys, OpenSSL configurations in both orders, and counting what the TPM was asked.
# Sourced after common.sh and swtpm.sh, by scripts that use what shellcheck finds unused here.
# shellcheck disable=SC2034

MAKEKEY="$PC_BUILD/tests/integration/provider/makekey"
RECORDER="$PC_BUILD/tests/integration/tpm/tcti_recorder.so"
COMMANDS="$WORK/commands"
KEYS="rsa-handle rsa-blob ec-handle ec-blob"
DEFAULT_CONF=/etc/ssl/openssl.cnf
CURL_SANITIZED="curl hangs in setlocale with the sanitizer preloaded, with or without our module"

# provider_conf NAME TCTI ALLOW FIRST SECOND: an openssl.cnf that activates the two providers in this order; prints its path.
provider_conf() {
    local file="$WORK/$1.cnf"
    {
        printf '%s\n' 'openssl_conf = init' '[init]' 'providers = list' '[list]' "$4 = $4_section" "$5 = $5_section"
        printf '%s\n' '[default_section]' 'activate = 1'
        printf '%s\n' '[plantcert_section]' "module = $PLANTCERT_MODULE" 'activate = 1' "tcti = $2" "allow-simulator = $3"
    } >"$file"
    echo "$file"
}

# provider_setup: starts the TPM and makes $WORK/KEY.tpm for each of $KEYS; sets RECORDED (a TCTI that writes $COMMANDS).
provider_setup() {
    local key handle=81010000
    need_swtpm openssl "$MAKEKEY" "$RECORDER" "$PLANTCERT_MODULE"
    swtpm_start
    RECORDED="$RECORDER:log=$COMMANDS|$SWTPM_TCTI"
    for key in $KEYS; do
        handle=$(printf %x $((0x$handle + 1)))
        case $key in
        rsa-handle) set -- rsa:2048 "$handle" ;;
        rsa-blob) set -- rsa:2048 blob ;;
        ec-handle) set -- ec:P-256 "$handle" ;;
        ec-blob) set -- ec:P-256 blob ;;
        esac
        "$MAKEKEY" "$SWTPM_TCTI" "$1" "$2" "$WORK/$key.tpm" 2>"$WORK/makekey.err" || {
            echo "Bail out! cannot make $key: $(tail -n 1 "$WORK/makekey.err")"
            exit 1
        }
    done
}

# tpm_asked CODE: how many commands with this code (8 hex digits) the TPM has carried out since $COMMANDS was emptied.
tpm_asked() { grep -c "^$1 00000000$" "$COMMANDS"; }
TPM_SIGN=0000015d

# tpm_was_asked: the codes of all commands since $COMMANDS was emptied, "failed" after one that was not carried out.
tpm_was_asked() { sed 's/^0*//; s/ 00000000$//; s/ .*/ failed/' "$COMMANDS" | paste -sd ' '; }
# tpm_signature KEY: those that one signature costs. 173 ReadPublic (of the key, or of a blob's parent), 157 Load, 15d Sign, 165 FlushContext.
tpm_signature() { case $1 in *-blob) echo '173 157 15d 165' ;; *) echo '173 15d' ;; esac; }
