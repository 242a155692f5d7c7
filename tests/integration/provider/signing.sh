#!/bin/bash
# A TPM, its keys and a configuration for the programs `signing`, `vectors`, `hostile` and `tls`, whose TAP this is: signing.sh PROGRAM
# default|plantcert; the latter says which provider is listed first.
# shellcheck source=tests/lib/common.sh
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
# shellcheck source=tests/lib/swtpm.sh
. "$PC_SOURCE/tests/lib/swtpm.sh"
# shellcheck source=tests/integration/provider/setup.sh
. "$PC_SOURCE/tests/integration/provider/setup.sh"
provider_setup
case ${2:-default} in
default) OPENSSL_CONF=$(provider_conf both "$RECORDED" yes default plantcert) ;;
plantcert) OPENSSL_CONF=$(provider_conf both "$RECORDED" yes plantcert default) ;;
esac
export OPENSSL_CONF WORK COMMANDS
"$PC_BUILD/tests/integration/provider/provider_${1:-signing}"
