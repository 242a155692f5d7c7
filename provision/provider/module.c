/* The module's one exported symbol; all else is hidden. Not part of the programs, which have the provider
 * built in. */
#include "provision/provider/provider.h"

OSSL_provider_init_fn OSSL_provider_init __attribute__((visibility("default")));

int OSSL_provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                       void **provider_context)
{
    return prov_init(core, in, out, provider_context);
}
