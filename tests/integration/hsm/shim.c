/* A PKCS#11 module for tests that stands before a real one, and records, counts, fails and falsifies its
 * calls. What it does is told by environment variables, read at each C_Initialize; without any it passes
 * everything through: SHIM_MODULE      path of the real module (read when the shim is loaded) SHIM_LOG file
 * to which each call appends a line: "C_Login 0xa0" SHIM_FAIL        "C_Sign:2:0x32,C_Login:0:0xa4": the
 * second C_Sign since C_Initialize, and every C_Login, answer that code and are not passed on SHIM_ATTRIBUTES
 * "0x162=1,0x103=0,0x105=-": what C_GetAttributeValue says of these one-byte attributes; '-': not there
 *   SHIM_FLAGS_SET, SHIM_FLAGS_CLEAR   bits of CK_TOKEN_INFO.flags
 *   SHIM_LABEL       CK_TOKEN_INFO.label of every token, padded with NULs as some tokens do
 *   SHIM_SLOTS       "twice": each slot is listed two times */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#define RULES_MAX 32

/* Every function that is watched, with its parameters and how they are passed on. Those not named here go
 * straight through. */
#define FUNCTIONS(X)                                                                                         \
    X(C_GetInfo, (CK_INFO * a), (a))                                                                         \
    X(C_GetSlotInfo, (CK_SLOT_ID a, CK_SLOT_INFO * b), (a, b))                                               \
    X(C_GetMechanismList, (CK_SLOT_ID a, CK_MECHANISM_TYPE * b, CK_ULONG * c), (a, b, c))                    \
    X(C_GetMechanismInfo, (CK_SLOT_ID a, CK_MECHANISM_TYPE b, CK_MECHANISM_INFO * c), (a, b, c))             \
    X(C_InitToken, (CK_SLOT_ID a, unsigned char *b, CK_ULONG c, unsigned char *d), (a, b, c, d))             \
    X(C_InitPIN, (CK_SESSION_HANDLE a, unsigned char *b, CK_ULONG c), (a, b, c))                             \
    X(C_OpenSession, (CK_SLOT_ID a, CK_FLAGS b, void *c, CK_NOTIFY d, CK_SESSION_HANDLE *e),                 \
      (a, b, c, d, e))                                                                                       \
    X(C_CloseSession, (CK_SESSION_HANDLE a), (a))                                                            \
    X(C_CloseAllSessions, (CK_SLOT_ID a), (a))                                                               \
    X(C_GetSessionInfo, (CK_SESSION_HANDLE a, CK_SESSION_INFO * b), (a, b))                                  \
    X(C_Login, (CK_SESSION_HANDLE a, CK_USER_TYPE b, unsigned char *c, CK_ULONG d), (a, b, c, d))            \
    X(C_Logout, (CK_SESSION_HANDLE a), (a))                                                                  \
    X(C_CreateObject, (CK_SESSION_HANDLE a, CK_ATTRIBUTE * b, CK_ULONG c, CK_OBJECT_HANDLE * d),             \
      (a, b, c, d))                                                                                          \
    X(C_DestroyObject, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b), (a, b))                                    \
    X(C_SetAttributeValue, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE b, CK_ATTRIBUTE * c, CK_ULONG d),          \
      (a, b, c, d))                                                                                          \
    X(C_FindObjectsInit, (CK_SESSION_HANDLE a, CK_ATTRIBUTE * b, CK_ULONG c), (a, b, c))                     \
    X(C_FindObjects, (CK_SESSION_HANDLE a, CK_OBJECT_HANDLE * b, CK_ULONG c, CK_ULONG * d), (a, b, c, d))    \
    X(C_FindObjectsFinal, (CK_SESSION_HANDLE a), (a))                                                        \
    X(C_SignInit, (CK_SESSION_HANDLE a, CK_MECHANISM * b, CK_OBJECT_HANDLE c), (a, b, c))                    \
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

/* Those with a body of their own, below. */
#define OWN_FUNCTIONS(X)                                                                                     \
    X(C_Initialize)                                                                                          \
    X(C_Finalize)                                                                                            \
    X(C_GetSlotList)                                                                                         \
    X(C_GetTokenInfo)                                                                                        \
    X(C_GetAttributeValue)                                                                                   \
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

static const char *const names[F_COUNT] = {
#define X(name, parameters, arguments) [F_##name] = #name,
    FUNCTIONS(X)
#undef X
#define X(name) [F_##name] = #name,
        OWN_FUNCTIONS(X)
#undef X
};

struct failure {
    int function;
    unsigned long call; /* from 1; 0: every one */
    CK_RV rv;
};
struct lie {
    CK_ATTRIBUTE_TYPE type;
    int value; /* -1: not there */
};

static CK_FUNCTION_LIST *real, own;
static atomic_ulong calls[F_COUNT];
static struct {
    int log;
    bool twice;
    CK_FLAGS set, clear;
    char label[33];
    struct failure failures[RULES_MAX];
    struct lie lies[RULES_MAX];
    size_t failure_count, lie_count;
} rules = {.log = -1};

/* A rule that cannot be read would make a test pass for the wrong reason. */
static void bad_rule(const char *variable)
{
    fprintf(stderr, "shim: %s: cannot be read\n", variable);
    abort();
}

static void read_failure(const char *text)
{
    char name[40];
    struct failure *failure = &rules.failures[rules.failure_count];
    if (rules.failure_count == RULES_MAX ||
        sscanf(text, "%39[A-Za-z_]:%lu:%lx", name, &failure->call, &failure->rv) != 3)
        bad_rule("SHIM_FAIL");
    failure->function = 0;
    while (failure->function < F_COUNT && strcmp(names[failure->function], name) != 0)
        failure->function++;
    if (failure->function == F_COUNT)
        bad_rule("SHIM_FAIL");
    rules.failure_count++;
}

static void read_lie(const char *text)
{
    char value = 0;
    struct lie *lie = &rules.lies[rules.lie_count];
    if (rules.lie_count == RULES_MAX || sscanf(text, "%lx=%c", &lie->type, &value) != 2 ||
        !strchr("01-", value))
        bad_rule("SHIM_ATTRIBUTES");
    lie->value = value == '-' ? -1 : value - '0';
    rules.lie_count++;
}

static void read_list(const char *variable, void (*read_one)(const char *))
{
    const char *value = getenv(variable);
    char *copy = strdup(value ? value : ""), *rest = copy;
    for (char *one; copy && (one = strsep(&rest, ","));)
        if (*one)
            read_one(one);
    free(copy);
}

static CK_FLAGS read_flags(const char *variable)
{
    const char *value = getenv(variable);
    return value ? strtoul(value, NULL, 0) : 0;
}

static void read_rules(void)
{
    const char *log = getenv("SHIM_LOG"), *label = getenv("SHIM_LABEL"), *slots = getenv("SHIM_SLOTS");
    if (rules.log >= 0)
        close(rules.log);
    memset(&rules, 0, sizeof rules);
    rules.log = log ? open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    rules.twice = slots && strcmp(slots, "twice") == 0;
    rules.set = read_flags("SHIM_FLAGS_SET");
    rules.clear = read_flags("SHIM_FLAGS_CLEAR");
    snprintf(rules.label, sizeof rules.label, "%s", label ? label : "");
    read_list("SHIM_FAIL", read_failure);
    read_list("SHIM_ATTRIBUTES", read_lie);
    for (int i = 0; i < F_COUNT; i++)
        atomic_store(&calls[i], 0);
}

static CK_RV done(enum function function, CK_RV rv)
{
    char line[64];
    int len = snprintf(line, sizeof line, "%s 0x%lx\n", names[function], rv);
    if (rules.log >= 0 && write(rules.log, line, (size_t)len) != len)
        abort();
    return rv;
}

/* Counts the call, and says whether it is to fail. */
static bool failed(enum function function, CK_RV *ret)
{
    unsigned long call = atomic_fetch_add(&calls[function], 1) + 1;
    for (size_t i = 0; i < rules.failure_count; i++) {
        const struct failure *failure = &rules.failures[i];
        if (failure->function == (int)function && (failure->call == 0 || failure->call == call)) {
            *ret = done(function, failure->rv);
            return true;
        }
    }
    return false;
}

#define X(name, parameters, arguments)                                                                       \
    static CK_RV shim_##name parameters                                                                      \
    {                                                                                                        \
        CK_RV rv;                                                                                            \
        return failed(F_##name, &rv) ? rv : done(F_##name, real->name arguments);                            \
    }
FUNCTIONS(X)
#undef X

/* A caller that signs from several threads must allow the module to lock (PKCS#11 v2.40 §5.4): one that does
 * not is turned away. */
static CK_RV shim_C_Initialize(void *arguments)
{
    const CK_C_INITIALIZE_ARGS *given = arguments;
    if (!given || !(given->flags & CKF_OS_LOCKING_OK))
        return CKR_CANT_LOCK;
    CK_RV rv = real->C_Initialize(arguments);
    if (rv != CKR_OK)
        return done(F_C_Initialize, rv);
    read_rules();
    if (failed(F_C_Initialize, &rv)) {
        real->C_Finalize(NULL);
        return rv;
    }
    return done(F_C_Initialize, CKR_OK);
}

static CK_RV shim_C_Finalize(void *reserved)
{
    CK_RV rv;
    return failed(F_C_Finalize, &rv) ? rv : done(F_C_Finalize, real->C_Finalize(reserved));
}

static CK_RV shim_C_GetSlotList(unsigned char present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    CK_RV rv;
    if (failed(F_C_GetSlotList, &rv))
        return rv;
    CK_ULONG room = *count;
    rv = real->C_GetSlotList(present, slots, count);
    if (rv != CKR_OK || !rules.twice)
        return done(F_C_GetSlotList, rv);
    CK_ULONG found = *count;
    *count = 2 * found;
    if (slots && room < 2 * found)
        return done(F_C_GetSlotList, CKR_BUFFER_TOO_SMALL);
    for (CK_ULONG i = 0; slots && i < found; i++)
        slots[found + i] = slots[i];
    return done(F_C_GetSlotList, CKR_OK);
}

static CK_RV shim_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv;
    if (failed(F_C_GetTokenInfo, &rv))
        return rv;
    rv = real->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK && (info->flags & CKF_TOKEN_INITIALIZED)) {
        info->flags = (info->flags | rules.set) & ~rules.clear;
        if (rules.label[0])
            memcpy(info->label, rules.label, sizeof info->label);
    }
    return done(F_C_GetTokenInfo, rv);
}

static CK_RV shim_C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                      CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    CK_RV rv;
    if (failed(F_C_GetAttributeValue, &rv))
        return rv;
    rv = real->C_GetAttributeValue(session, object, attributes, count);
    for (CK_ULONG i = 0; i < count; i++) {
        for (size_t j = 0; j < rules.lie_count; j++) {
            if (attributes[i].type != rules.lies[j].type)
                continue;
            if (rules.lies[j].value < 0) {
                attributes[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
                rv = CKR_ATTRIBUTE_TYPE_INVALID;
            } else if (attributes[i].pValue && attributes[i].ulValueLen == 1) {
                *(unsigned char *)attributes[i].pValue = (unsigned char)rules.lies[j].value;
            }
        }
    }
    return done(F_C_GetAttributeValue, rv);
}

/* A token that fails C_Sign has ended the operation all the same (PKCS#11 v2.40 §5.11). */
static CK_RV shim_C_Sign(CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG data_len,
                         unsigned char *signature, CK_ULONG *len)
{
    CK_RV rv;
    unsigned char lost[1024];
    CK_ULONG lost_len = sizeof lost;
    if (!failed(F_C_Sign, &rv))
        return done(F_C_Sign, real->C_Sign(session, data, data_len, signature, len));
    real->C_Sign(session, data, data_len, lost, &lost_len);
    return rv;
}

static bool load_real(void)
{
    const char *path = getenv("SHIM_MODULE");
    void *handle = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    if (handle)
        *(void **)&get = dlsym(handle, "C_GetFunctionList");
    if (!get || get(&real) != CKR_OK)
        return false;
    own = *real;
    own.C_GetFunctionList = C_GetFunctionList;
#define X(name, parameters, arguments) own.name = shim_##name;
    FUNCTIONS(X)
#undef X
#define X(name) own.name = shim_##name;
    OWN_FUNCTIONS(X)
#undef X
    return true;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret)
{
    if (!real && !load_real())
        return CKR_GENERAL_ERROR;
    *ret = &own;
    return CKR_OK;
}
