/* Notices to whoever listens. */
#include "src/base/log.h"

#include <stdarg.h>
#include <stdio.h>

static pc_log_sink listener;

void pc_log_to(pc_log_sink sink)
{
    listener = sink;
}

void pc_log(enum pc_level level, const char *format, ...)
{
    if (!listener)
        return;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n >= 0)
        listener(level, text);
}
