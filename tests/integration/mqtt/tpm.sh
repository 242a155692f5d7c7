#!/bin/bash
# A client whose key lives in a TPM, through src/mqtt: the key in the programs' own library context, the certificates in the default one.
# RSA and EC, TLS 1.2 and 1.3; a TPM that does not sign is no refusal by the broker.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh" || exit 1
# shellcheck source=tests/lib/mosquitto.sh
. "$PC_SOURCE/tests/lib/mosquitto.sh" || exit 1
# shellcheck source=tests/integration/provider/setup.sh
. "$PC_SOURCE/tests/integration/provider/setup.sh" || exit 1
# shellcheck source=tests/integration/mqtt/authority.sh
. "$PC_SOURCE/tests/integration/mqtt/authority.sh" || exit 1
DRIVER=$(realpath "$1")
need mosquitto openssl
cd "$WORK" || exit 1
provider_setup
conf=$(provider_conf requests "$SWTPM_TCTI" yes default plantcert)

ca ours
leaf broker ours broker 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
for key in $KEYS; do
    OPENSSL_CONF=$conf client openssl req -new -key "$key.tpm" -subj "/CN=$key" -out "$key.csr" 2>/dev/null
    leaf "$key" ours "$key" 'extendedKeyUsage=clientAuth'
done
# The driver asks for nothing of ours by configuration.
unset OPENSSL_CONF
visit() { PLANTCERT_TCTI=${TCTI:-$SWTPM_TCTI} "$DRIVER" localhost "$MOSQUITTO_PORT" ours.crt "$1.crt" "$1.tpm" 20 "${@:2}"; }

for version in TLSv1.2 TLSv1.3; do
    only_version "$version"
    mosquitto_start "$WORK/ours.crt" "$WORK/broker.crt" "$WORK/broker.key" || exit 1
    for key in $KEYS; do
        check "$version, $key: accepted, and its topic too" visit "$key" "cpi/$key/status"
        said "^done .* puback=(0|16) .*version=$version" "by that version of TLS"
    done
    check "$version: nothing is left in the TPM" swtpm_is_clean
    # A lockout by others, as this key would meet it: the handshake ends on our side.
    TCTI="$RECORDER:fail=15d@0=921|$SWTPM_TCTI" expect 1 "$version: the TPM does not sign" visit ec-handle
    said '^client-key ' "is no refusal by the broker"
done
TCTI="swtpm:host=127.0.0.1,port=$(free_port)" expect 1 "no TPM there" visit rsa-blob
said '^client-key ' "is none, either"
finish
