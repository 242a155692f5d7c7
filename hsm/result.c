/* CK_RV: its name in PKCS#11 v2.40 (§11.1) and what it means for the caller. Says nothing about which call
 * met it. */
#include "hsm/result.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "src/base/error.h"

struct result {
    CK_RV rv;
    const char *name;
    int code;
    bool lost;
};

#define ROW(name, code)                                                                                      \
    {                                                                                                        \
        name, #name, code, false                                                                             \
    }
/* The token, its session or the login is gone; a new beginning may bring it back. */
#define LOST(name)                                                                                           \
    {                                                                                                        \
        name, #name, PC_EUNREACH, true                                                                       \
    }

/* Whatever is not listed as the PIN's, ours or a refusal is taken for a token that cannot be worked with. */
static const struct result results[] = {
    ROW(CKR_CANCEL, PC_EUNREACH),
    ROW(CKR_HOST_MEMORY, PC_EFAIL),
    ROW(CKR_SLOT_ID_INVALID, PC_EUNREACH),
    ROW(CKR_GENERAL_ERROR, PC_EUNREACH),
    ROW(CKR_FUNCTION_FAILED, PC_EUNREACH),
    ROW(CKR_ARGUMENTS_BAD, PC_EFAIL),
    ROW(CKR_NO_EVENT, PC_EUNREACH),
    ROW(CKR_NEED_TO_CREATE_THREADS, PC_EUNREACH),
    ROW(CKR_CANT_LOCK, PC_EUNREACH),
    ROW(CKR_ATTRIBUTE_READ_ONLY, PC_EREFUSED),
    ROW(CKR_ATTRIBUTE_SENSITIVE, PC_EREFUSED),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, PC_EREFUSED),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, PC_EREFUSED),
    ROW(CKR_ACTION_PROHIBITED, PC_EREFUSED),
    ROW(CKR_DATA_INVALID, PC_EFAIL),
    ROW(CKR_DATA_LEN_RANGE, PC_EFAIL),
    LOST(CKR_DEVICE_ERROR),
    ROW(CKR_DEVICE_MEMORY, PC_EUNREACH),
    LOST(CKR_DEVICE_REMOVED),
    ROW(CKR_FUNCTION_CANCELED, PC_EUNREACH),
    ROW(CKR_FUNCTION_NOT_PARALLEL, PC_EUNREACH),
    ROW(CKR_FUNCTION_NOT_SUPPORTED, PC_EREFUSED),
    ROW(CKR_KEY_HANDLE_INVALID, PC_EUNREACH),
    ROW(CKR_KEY_SIZE_RANGE, PC_EREFUSED),
    ROW(CKR_KEY_TYPE_INCONSISTENT, PC_EREFUSED),
    ROW(CKR_KEY_CHANGED, PC_EREFUSED),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, PC_EREFUSED),
    ROW(CKR_MECHANISM_INVALID, PC_EREFUSED),
    ROW(CKR_MECHANISM_PARAM_INVALID, PC_EREFUSED),
    ROW(CKR_OBJECT_HANDLE_INVALID, PC_EUNREACH),
    ROW(CKR_OPERATION_ACTIVE, PC_EFAIL),
    ROW(CKR_OPERATION_NOT_INITIALIZED, PC_EFAIL),
    ROW(CKR_PIN_INCORRECT, PC_EAUTH),
    ROW(CKR_PIN_INVALID, PC_EAUTH),
    ROW(CKR_PIN_LEN_RANGE, PC_EAUTH),
    ROW(CKR_PIN_EXPIRED, PC_EAUTH),
    ROW(CKR_PIN_LOCKED, PC_EAUTH),
    ROW(CKR_PIN_TOO_WEAK, PC_EAUTH),
    LOST(CKR_SESSION_CLOSED),
    ROW(CKR_SESSION_COUNT, PC_EUNREACH),
    LOST(CKR_SESSION_HANDLE_INVALID),
    ROW(CKR_SESSION_PARALLEL_NOT_SUPPORTED, PC_EUNREACH),
    ROW(CKR_SESSION_READ_ONLY, PC_EREFUSED),
    ROW(CKR_SESSION_EXISTS, PC_EUNREACH),
    ROW(CKR_SESSION_READ_ONLY_EXISTS, PC_EUNREACH),
    ROW(CKR_SESSION_READ_WRITE_SO_EXISTS, PC_EUNREACH),
    ROW(CKR_SIGNATURE_INVALID, PC_EFAIL),
    ROW(CKR_SIGNATURE_LEN_RANGE, PC_EFAIL),
    ROW(CKR_TEMPLATE_INCOMPLETE, PC_EREFUSED),
    ROW(CKR_TEMPLATE_INCONSISTENT, PC_EREFUSED),
    LOST(CKR_TOKEN_NOT_PRESENT),
    ROW(CKR_TOKEN_NOT_RECOGNIZED, PC_EUNREACH),
    ROW(CKR_TOKEN_WRITE_PROTECTED, PC_EREFUSED),
    ROW(CKR_USER_ALREADY_LOGGED_IN, PC_EAUTH),
    LOST(CKR_USER_NOT_LOGGED_IN),
    ROW(CKR_USER_PIN_NOT_INITIALIZED, PC_EAUTH),
    ROW(CKR_USER_TYPE_INVALID, PC_EAUTH),
    ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, PC_EAUTH),
    ROW(CKR_USER_TOO_MANY_TYPES, PC_EAUTH),
    ROW(CKR_RANDOM_NO_RNG, PC_EUNREACH),
    ROW(CKR_DOMAIN_PARAMS_INVALID, PC_EREFUSED),
    ROW(CKR_CURVE_NOT_SUPPORTED, PC_EREFUSED),
    ROW(CKR_BUFFER_TOO_SMALL, PC_EUNREACH),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED, PC_EUNREACH),
    ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED, PC_EUNREACH),
    ROW(CKR_FIPS_SELF_TEST_FAILED, PC_EUNREACH),
    ROW(CKR_LIBRARY_LOAD_FAILED, PC_EUNREACH),
    ROW(CKR_FUNCTION_REJECTED, PC_EREFUSED),
};

static const struct result *result_of(CK_RV rv)
{
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        if (results[i].rv == rv)
            return &results[i];
    return NULL;
}

void hsm_result_name(CK_RV rv, char ret[HSM_RESULT_TEXT])
{
    const struct result *result = result_of(rv);
    if (result)
        snprintf(ret, HSM_RESULT_TEXT, "%s", result->name);
    else
        snprintf(ret, HSM_RESULT_TEXT, "CKR_0x%lx", rv);
}

int hsm_fail(CK_RV rv, const char *format, ...)
{
    const struct result *result = result_of(rv);
    char name[HSM_RESULT_TEXT], text[1024];
    hsm_result_name(rv, name);
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    if (result && result->lost)
        return pc_fail_named(PC_EUNREACH, "token-lost", "%s: %s", text, name);
    return pc_fail(result ? result->code : PC_EUNREACH, "%s: %s", text, name);
}
