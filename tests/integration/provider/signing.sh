#!/bin/bash
# A TPM, its keys and a configuration for the program `signing`, whose TAP this is. Its argument says which provider is listed first.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh"
# shellcheck source=tests/integration/provider/setup.sh
. "$PC_SOURCE/tests/integration/provider/setup.sh"
provider_setup
case ${1:-default} in
default) OPENSSL_CONF=$(provider_conf both "$SWTPM_TCTI" yes default plantcert) ;;
plantcert) OPENSSL_CONF=$(provider_conf both "$SWTPM_TCTI" yes plantcert default) ;;
esac
export OPENSSL_CONF WORK
"$PC_BUILD/tests/integration/provider/signing"
