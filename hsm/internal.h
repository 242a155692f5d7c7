/* What a token is made of, for the files of this folder alone. */
#ifndef HSM_INTERNAL_H
#define HSM_INTERNAL_H

#include <p11-kit/pkcs11.h>

#include <openssl/evp.h>

#include "hsm/key.h"
#include "hsm/token.h"
#include "hsm/worker.h"

enum hsm_login { HSM_LOGIN_NONE, HSM_LOGIN_DONE, HSM_LOGIN_FAILED };

/* Once `workers` hang, nothing of a token or its keys is touched or freed: the thread that does not come back
 * may be using it. What is not said to run elsewhere runs on one of the workers. */
struct hsm_token {
    struct hsm_workers *workers;
    char *path; /* of the module */
    char module_sha256[65];
    CK_FUNCTION_LIST *module; /* p11-kit's, unmanaged: the module's own table */
    bool initialised;         /* C_Initialize was ours, so C_Finalize is */
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session; /* read-only, held from login to close: with the last session the login ends */
    bool has_session;
    enum hsm_login login;
    struct hsm_token_info info;
    struct hsm_signer *signer; /* libp11's view of the same token, made when the first key is found */
};

struct hsm_key {
    struct hsm_token *token; /* borrowed */
    struct hsm_id id;
    CK_OBJECT_HANDLE private_handle, public_handle;
    EVP_PKEY *public_key;
    EVP_PKEY *signer;
    bool software; /* the module signs on this machine's own processors */
};

#define HSM_LABEL_MAX 127 /* bytes of a CKA_LABEL that we look for or give */

/* `ret` has room for HSM_LABEL_MAX + 1 bytes. PC_EUSAGE when it is longer. */
int hsm_label_copy(const char *label, char *ret);

/* 0 when hsm_token_login has succeeded, else PC_EAUTH. */
int hsm_token_need_login(const struct hsm_token *token);

/* A session of its own that may write, for the caller to close with C_CloseSession. */
int hsm_token_open_writer(struct hsm_token *token, CK_SESSION_HANDLE *ret);

#endif
