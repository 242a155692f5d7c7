/* What the files of the shim share: the functions that it watches, and what is to become of one call. */
#ifndef TESTS_HSM_SHIM_H
#define TESTS_HSM_SHIM_H

#include <stdbool.h>

#include <p11-kit/pkcs11.h>

/* Every function that is watched, with its parameters and how they are passed on. Those not named here go
 * straight through. */
#define FUNCTIONS(X)                                                                                         \
    X(C_GetInfo, (CK_INFO * a), (a))                                                                         \
    X(C_GetSlotInfo, (CK_SLOT_ID a, CK_SLOT_INFO * b), (a, b))                                               \
    X(C_GetMechanismList, (CK_SLOT_ID a, CK_MECHANISM_TYPE * b, CK_ULONG * c), (a, b, c))                    \
    X(C_GetMechanismInfo, (CK_SLOT_ID a, CK_MECHANISM_TYPE b, CK_MECHANISM_INFO * c), (a, b, c))             \
    X(C_InitToken, (CK_SLOT_ID a, unsigned char *b, CK_ULONG c, unsigned char *d), (a, b, c, d))             \
    X(C_InitPIN, (CK_SESSION_HANDLE a, unsigned char *b, CK_ULONG c), (a, b, c))                             \
    X(C_GetSessionInfo, (CK_SESSION_HANDLE a, CK_SESSION_INFO * b), (a, b))                                  \
    X(C_Logout, (CK_SESSION_HANDLE a), (a))                                                                  \
    X(C_CreateObject, (CK_SESSION_HANDLE a, CK_ATTRIBUTE * b, CK_ULONG c, CK_OBJECT_HANDLE * d),             \
      (a, b, c, d))                                                                                          \
    X(C_DestroyObject, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b), (a, b))                                    \
    X(C_SetAttributeValue, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b, CK_ATTRIBUTE * c, CK_ULONG d),          \
      (a, b, c, d))                                                                                          \
    X(C_FindObjectsInit, (CK_SESSION_HANDLE a, CK_ATTRIBUTE * b, CK_ULONG c), (a, b, c))                     \
    X(C_FindObjects, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE * b, CK_ULONG c, CK_ULONG * d), (a, b, c, d))    \
    X(C_FindObjectsFinal, (CK_SESSION_HANDLE a), (a))                                                        \
    X(C_DecryptInit, (CK_SESSION_HANDLE a, CK_MECHANISM * b, CK_OBJECT_HANDLE c), (a, b, c))                 \
    X(C_Decrypt, (CK_SESSION_HANDLE a, unsigned char *b, CK_ULONG c, unsigned char *d, CK_ULONG *e),         \
      (a, b, c, d, e))                                                                                       \
    X(C_SignUpdate, (CK_SESSION_HANDLE a, unsigned char *b, CK_ULONG c), (a, b, c))                          \
    X(C_SignFinal, (CK_SESSION_HANDLE a, unsigned char *b, CK_ULONG *c), (a, b, c))                          \
    X(C_GenerateKeyPair,                                                                                     \
      (CK_SESSION_HANDLE a, CK_MECHANISM * b, CK_ATTRIBUTE * c, CK_ULONG d, CK_ATTRIBUTE * e, CK_ULONG f,    \
       CK_OBJECT_HANDLE * g, CK_OBJECT_HANDLE * h),                                                          \
      (a, b, c, d, e, f, g, h))                                                                              \
    X(C_WrapKey,                                                                                             \
      (CK_SESSION_HANDLE a, CK_MECHANISM * b, CK_OBJECT_HANDLE c, CK_OBJECT_HANDLE d, unsigned char *e,      \
       CK_ULONG *f),                                                                                         \
      (a, b, c, d, e, f))                                                                                    \
    X(C_GenerateRandom, (CK_SESSION_HANDLE a, unsigned char *b, CK_ULONG c), (a, b, c))

/* Those with a body of their own, in shim.c. */
#define OWN_FUNCTIONS(X)                                                                                     \
    X(C_Initialize)                                                                                          \
    X(C_Finalize)                                                                                            \
    X(C_GetSlotList)                                                                                         \
    X(C_GetTokenInfo)                                                                                        \
    X(C_OpenSession)                                                                                         \
    X(C_CloseSession)                                                                                        \
    X(C_CloseAllSessions)                                                                                    \
    X(C_Login)                                                                                               \
    X(C_GetAttributeValue)                                                                                   \
    X(C_SignInit)                                                                                            \
    X(C_Sign)

enum function {
#define X(name, parameters, arguments) F_##name,
    FUNCTIONS(X)
#undef X
#define X(name) F_##name,
        OWN_FUNCTIONS(X)
#undef X
            F_COUNT
};

/* The rules: what the environment says. Read while no call is under way. */
void rules_read(void);

/* One call: counted as it comes, delayed, killed, hung, or failed as the rules say. */
struct call {
    enum function function;
    unsigned long number, total; /* from 1: since C_Initialize; of any function since the shim was loaded */
};
/* False where the call is not to be passed on but answers `ret`. */
bool call_begins(enum function function, struct call *call, CK_RV *ret);
/* Writes the log's line; returns `rv`. */
CK_RV call_ends(const struct call *call, CK_RV rv);

bool rules_wrong(const struct call *call); /* its signature is to be a wrong one */
bool rules_lie(CK_ATTRIBUTE_TYPE type, int *ret);
bool rules_slots_twice(void);
void rules_describe(CK_TOKEN_INFO *info);
void rules_finalised(void); /* what was gone may come back with the next C_Initialize */

/* What the shim itself keeps of a token: wrong PINs (in a file, over all processes), open sessions. */
void state_read(void);
CK_RV state_login(CK_USER_TYPE user, CK_RV (*login)(void *), void *context);
CK_RV state_open(CK_SLOT_ID slot, CK_RV (*open)(void *, CK_SESSION_HANDLE *), void *context,
                 CK_SESSION_HANDLE *ret);
void state_closed(CK_SESSION_HANDLE session);
void state_closed_all(CK_SLOT_ID slot);
void state_finalised(void);
void state_describe(CK_SLOT_ID slot, CK_TOKEN_INFO *info);

/* What was signed: by the key of that label since this session's last C_SignInit. */
void signed_begins(CK_SESSION_HANDLE session, const char *label);
void signed_note(CK_SESSION_HANDLE session, const unsigned char *data, CK_ULONG len);

/* A rule that cannot be read would make a test pass for the wrong reason: ends the process. */
#define SHIM_UNNOTED 86 /* exit status: what the token signed could not be written down in SHIM_SIGNED */

void bad_rule(const char *variable) __attribute__((noreturn));

#endif
