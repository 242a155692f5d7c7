/* Notices: what a library must tell an operator though nothing failed ("TPM busy, trying again"). Libraries
 * do not print: the program sets who listens. */
#ifndef PC_LOG_H
#define PC_LOG_H

enum pc_level { PC_LOG_DEBUG, PC_LOG_NOTICE, PC_LOG_WARNING };

typedef void (*pc_log_sink)(enum pc_level level, const char *text);
void pc_log_to(pc_log_sink sink); /* NULL: nobody listens (the state at start) */
void pc_log(enum pc_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
