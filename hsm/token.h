/* Tokens: loading a PKCS#11 module, finding exactly one token in it, logging in once.
 *
 * Every function here and in key.h that asks the module ends by hsm_place.timeout with PC_EUNREACH
 * "token-timeout". From then on all of them answer that at once, closing and freeing leave everything as it
 * is (the thread that hangs may use it), no module is loaded any more, and pc_process_abandoned() holds. */
#ifndef HSM_TOKEN_H
#define HSM_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/memory.h"

/* Where the token is, as the configuration says it. All borrowed, all may be NULL; `uri` excludes label and
 * serial. */
struct hsm_place {
    const char *module; /* path of the PKCS#11 module; or module-path in the URI */
    const char *uri;    /* RFC 7512; pin-value and pin-source in it are refused (PC_EUSAGE) */
    const char *label;  /* CK_TOKEN_INFO.label */
    const char *serial; /* CK_TOKEN_INFO.serialNumber */
    int64_t timeout;    /* seconds that a call of the module may take (key generation and PIN pads excepted);
                           0: for ever */
};

struct hsm_token_info {
    char label[33], manufacturer[33], model[17], serial[17]; /* trailing blanks removed */
    char firmware[16], hardware[16];                         /* "2.6" */
    char module[256];                                        /* path */
    char module_sha256[65];                                  /* of the module's file, lower-case hex */
    unsigned sessions; /* how many may sign at once: what the token and libp11 allow; at least 1 */
    bool pin_final_try, pin_locked, pin_count_low, write_protected;
};

struct hsm_token;

/* Loads the module and finds the one initialised token that matches. No login, nothing written. PC_EUNREACH
 * when the module does not load, or when no or several tokens match (the text lists the candidates: label,
 * serial, model); PC_EUSAGE when the place is contradictory or is no place. A
 * module serves one open token a process: a second one is PC_EUNREACH. Prefer not to fork while one is open.
 */
int hsm_token_open(const struct hsm_place *place, struct hsm_token **ret);
void hsm_token_close(struct hsm_token *token);
PC_DEFINE_CLEANUP(struct hsm_token, hsm_token_close);

/* Borrowed, valid until hsm_token_close. Read anew from the token at each call. */
int hsm_token_info(struct hsm_token *token, const struct hsm_token_info **ret);

/* C_Login as CKU_USER, once for the life of `token`: a second call after success is 0, after a failure
 * PC_EAUTH without asking the token again. PC_EAUTH: wrong PIN, locked, not initialised, expired, empty PIN,
 * or CKF_USER_PIN_FINAL_TRY set (refused before the try, as a wrong one would lock the token). A
 * `pin` of NULL is for tokens with a PIN pad (CKF_PROTECTED_AUTHENTICATION_PATH) and PC_EAUTH with all
 * others. The PIN is not kept. */
int hsm_token_login(struct hsm_token *token, const struct pc_secret *pin);

#endif
