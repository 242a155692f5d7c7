/* The last failure of each thread: code, name, text. What the commands print lies here until they do. */
#include "src/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#define TEXT_MAX 4096

static _Thread_local struct {
    int code;
    const char *name;
    char text[TEXT_MAX];
} last;

static const char *category(int code)
{
    static const char *const names[] = {
        [-PC_EFAIL] = "failure",        [-PC_EUSAGE] = "usage",     [-PC_EAUTH] = "authentication",
        [-PC_EUNREACH] = "unreachable", [-PC_EREFUSED] = "refused", [-PC_EPENDING] = "pending",
    };
    if (code >= 0 || code < PC_EPENDING)
        return "failure";
    return names[-code];
}

/* Formats into a buffer of its own first: the arguments may point into the text that is being replaced. */
__attribute__((format(printf, 4, 0))) static int record(int code, const char *name, const char *suffix,
                                                        const char *format, va_list arguments)
{
    char text[TEXT_MAX];
    int n = vsnprintf(text, sizeof text, format, arguments);
    if (n < 0)
        text[0] = '\0';
    size_t len = strlen(text);
    if (suffix && len + 3 < sizeof text)
        snprintf(text + len, sizeof text - len, ": %s", suffix);
    memcpy(last.text, text, sizeof text);
    last.code = code;
    last.name = name ? name : category(code);
    return code;
}

int pc_fail(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record(code, NULL, NULL, format, arguments);
    va_end(arguments);
    return code;
}

int pc_refuse(const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record(PC_EREFUSED, name, NULL, format, arguments);
    va_end(arguments);
    return PC_EREFUSED;
}

int pc_fail_named(int code, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record(code, name, NULL, format, arguments);
    va_end(arguments);
    return code;
}

int pc_fail_openssl(int code, const char *format, ...)
{
    char reason[256] = "no reason given by OpenSSL";
    unsigned long error = ERR_get_error();
    if (error)
        ERR_error_string_n(error, reason, sizeof reason);
    ERR_clear_error();
    va_list arguments;
    va_start(arguments, format);
    record(code, NULL, reason, format, arguments);
    va_end(arguments);
    return code;
}

int pc_fail_errno(int code, const char *format, ...)
{
    char buffer[256];
    const char *reason = strerror_r(errno, buffer, sizeof buffer);
    va_list arguments;
    va_start(arguments, format);
    record(code, NULL, reason, format, arguments);
    va_end(arguments);
    return code;
}

int pc_fail_in(const char *format, ...)
{
    char where[TEXT_MAX / 2], whole[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(where, sizeof where, format, arguments);
    va_end(arguments);
    if (n < 0)
        where[0] = '\0';
    size_t head = strlen(where);
    memcpy(whole, where, head);
    snprintf(whole + head, sizeof whole - head, ": %s", last.text);
    memcpy(last.text, whole, sizeof whole);
    return last.code;
}

const char *pc_error_text(void)
{
    return last.text;
}

const char *pc_error_name(void)
{
    return last.name ? last.name : "";
}

int pc_error_code(void)
{
    return last.code;
}

void pc_error_clear(void)
{
    last.code = 0;
    last.name = NULL;
    last.text[0] = '\0';
}
