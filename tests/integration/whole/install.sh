#!/bin/bash
# `meson install` puts things where they belong: programs, manual pages, and the module into OpenSSL's modules folder; and what is installed
# finds its parts.
. "${PC_SOURCE:?}/tests/lib/common.sh" || exit 1
need meson openssl pkg-config
root=$WORK/root
check "meson install" env DESTDIR="$root" meson install -C "$PC_BUILD" --no-rebuild
modules=$(pkg-config --variable=modulesdir libcrypto)
module=$root$modules/plantcert.so
check "the provider lies in OpenSSL's modules folder" test -f "$module"
check "both programs are installed" test -x "$root/usr/local/bin/plantca" -a -x "$root/usr/local/bin/plantcert"
for page in man1/plantca.1 man1/plantca-sign.1 man1/plantcert.1 man1/plantcert-install.1 man5/plantca.conf.5 man5/plantcert.conf.5; do
    check "manual page $page" sh -c "ls '$root/usr/local/share/man/$page'*"
done
check "plantcert --version" "$root/usr/local/bin/plantcert" --version
check "plantca --version" "$root/usr/local/bin/plantca" --version

"$root/usr/local/bin/plantcert" config --openssl >"$WORK/openssl.cnf"
check "the configuration that it prints names the installed module" grep -q "$modules/plantcert.so" "$WORK/openssl.cnf"
sed -i "s|$modules/plantcert.so|$module|" "$WORK/openssl.cnf"
OPENSSL_CONF=$WORK/openssl.cnf check "OpenSSL loads it" client openssl list -providers
said '^  plantcert$' "and lists the provider"
said 'status: active' "as active"
expect 1 "no symbol of ours but the entry is exported" \
    sh -c "nm -D --defined-only '$module' | grep -vE ' (OSSL_provider_init|_init|_fini|__bss_start|_edata|_end)$' | grep -v asan"
finish
