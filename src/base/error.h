/* Errors: one convention for the whole tree. A function that can fail returns 0 or a negative PC_E…;
 * the text of the failure waits, per thread, for the command that prints it. Nothing here prints. */
#ifndef PC_ERROR_H
#define PC_ERROR_H

/* The negated value is the exit code of both programs. */
enum pc_error {
    PC_EFAIL = -1,    /* I/O or internal failure */
    PC_EUSAGE = -2,   /* usage or configuration */
    PC_EAUTH = -3,    /* PIN or auth value wrong, locked or missing */
    PC_EUNREACH = -4, /* token, TPM, database or station unreachable */
    PC_EREFUSED = -5, /* refused by policy or verification */
    PC_EPENDING = -6, /* not yet: try again later */
};

/* Records the failure's text (printf format; replaces what was recorded) and returns `code`. Its name is the
 * category's. */
int pc_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a refusal (PC_EREFUSED) with a name of its own: lower-case words joined by '-'
 * ("request-signature"), stable across releases, by which tests and JSON readers tell refusals apart. `name`
 * is a string literal, borrowed. */
int pc_refuse(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with any code ("tpm-timeout" with PC_EUNREACH). */
int pc_fail_named(int code, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As pc_fail, and appends ": " and the oldest entry of OpenSSL's error queue; the queue is left empty. */
int pc_fail_openssl(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As pc_fail, and appends ": " and strerror(errno). */
int pc_fail_errno(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<formatted>: " before the recorded text, so that it names the object; keeps code and name, and
 * returns the code. */
int pc_fail_in(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the last failure in this thread recorded. Borrowed, valid until the next failure; "" when there was
 * none. */
const char *pc_error_text(void);
const char *pc_error_name(void); /* "refused", "usage", … or the name given to pc_refuse */
int pc_error_code(void);         /* 0 when there was none */
void pc_error_clear(void);

#endif
