/* The PKCS#11 module itself: its file, loaded and started. */
#ifndef HSM_MODULE_H
#define HSM_MODULE_H

#include "hsm/internal.h"

/* Loads token->path, calls C_Initialize, and notes which bytes that file holds (module_sha256). What was done
 * before a failure is for hsm_token_close to undo. */
int hsm_module_load(struct hsm_token *token);

#endif
