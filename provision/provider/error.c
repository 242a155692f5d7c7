/* The provider's errors: onto the queue of the application that loaded it, through the core's own functions.
 */
#include "provision/provider/core.h"

#include <stdarg.h>

/* OSSL_ITEM wants its texts writable. */
#define REASON(number, text)                                                                                 \
    {                                                                                                        \
        .id = (number), .ptr = (char[])                                                                      \
        {                                                                                                    \
            text                                                                                             \
        }                                                                                                    \
    }
const OSSL_ITEM prov_reason_strings[] = {
    REASON(PROV_REASON_TPM, "the TPM did not sign"),
    REASON(PROV_REASON_TPM_SETTINGS, "the TPM's settings are wrong"),
    REASON(PROV_REASON_TPM_LOCKED, "the TPM refuses authorization"),
    REASON(PROV_REASON_TPM_UNREACHABLE, "the TPM cannot be reached"),
    REASON(PROV_REASON_TPM_REFUSED, "the key cannot be used in this TPM"),
    REASON(PROV_REASON_KEY_FILE, "bad TPM key file"),
    REASON(PROV_REASON_DIGEST, "unsuitable digest"),
    REASON(PROV_REASON_PARAMETER, "unsuitable signature parameter"),
    {0, NULL},
};

int prov_raise_at(const struct prov_context *context, enum prov_reason reason, const char *file, int line,
                  const char *function, const char *format, ...)
{
    va_list arguments;

    if (context->new_error == NULL || context->vset_error == NULL)
        return 0;
    context->new_error(context->core);
    if (context->set_error_debug != NULL)
        context->set_error_debug(context->core, file, line, function);
    va_start(arguments, format);
    context->vset_error(context->core, (uint32_t)reason, format, arguments);
    va_end(arguments);
    return 0;
}
