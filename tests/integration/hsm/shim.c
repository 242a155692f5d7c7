/* A PKCS#11 module for tests that stands before a real one, and records, counts, fails and falsifies its
 * calls. What it does is told by environment variables, read at each C_Initialize; without any it passes
 * everything through. Where a rule names a call by its number N, that is the Nth of its function since
 * C_Initialize, and 0 means every one; the function "*" is any, counted since the shim was loaded. Lists are
 * joined by commas.
 *   SHIM_MODULE      path of the real module (read when the shim is loaded)
 *   SHIM_LOG         file to which each call appends a line: "C_Login 0xa0"; "C_Sign hangs", "C_Sign killed"
 *   SHIM_FAIL        "C_Sign:2:0x32,C_Login:0:0xa4": these calls answer that code and are not passed on
 *   SHIM_GONE        "C_Sign:3:0x32[:TIMES]": the token is gone from that call on: every call answers that
 *                    code until C_Finalize, and after TIMES initialisations more. Of a list one after the
 *                    other comes true, each once a process (or until SHIM_RUN holds another text)
 *   SHIM_SIGNED      file to which each answered C_Sign appends a line: the key's label, what was signed in
 * hex SHIM_KILL        "C_Sign:2:before", "*:17:after": SIGKILL before or after that call is passed on
 *   SHIM_HANG        "C_Sign:3": that call never returns, and is not passed on
 *   SHIM_DELAY       "C_Sign:20": each of them takes so many milliseconds longer
 *   SHIM_WRONG       "C_Sign:2": one bit of the signature is flipped
 *   SHIM_ATTRIBUTES  "0x162=1,0x103=0,0x105=-": what C_GetAttributeValue says of these one-byte attributes;
 *                    '-': not there
 *   SHIM_PIN_TRIES   "3:FILE": the user's PIN locks after so many wrong ones in a row, counted in FILE
 *   SHIM_SESSIONS    CK_TOKEN_INFO.ulMaxSessionCount; above 0 C_OpenSession keeps to it in this process
 *   SHIM_FLAGS_SET, SHIM_FLAGS_CLEAR   bits of CK_TOKEN_INFO.flags
 *   SHIM_LABEL       CK_TOKEN_INFO.label of every token, padded with NULs as some tokens do
 *   SHIM_SLOTS       "twice": each slot is listed two times */
#include "tests/integration/hsm/shim.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>

static CK_FUNCTION_LIST *real, own;
static atomic_bool initialised;

#define X(name, parameters, arguments)                                                                       \
    static CK_RV shim_##name parameters                                                                      \
    {                                                                                                        \
        CK_RV rv;                                                                                            \
        struct call call;                                                                                    \
        return call_ends(&call, call_begins(F_##name, &call, &rv) ? real->name arguments : rv);              \
    }
FUNCTIONS(X)
#undef X

/* A caller that signs from several threads must allow the module to lock (PKCS#11 v2.40 §5.4): one that does
 * not is turned away. */
static CK_RV shim_C_Initialize(void *arguments)
{
    const CK_C_INITIALIZE_ARGS *given = arguments;
    struct call call;
    CK_RV rv;
    if (!given || !(given->flags & CKF_OS_LOCKING_OK))
        return CKR_CANT_LOCK;
    if (!atomic_load(&initialised)) {
        rules_read();
        state_read();
    }
    if (call_begins(F_C_Initialize, &call, &rv)) {
        rv = real->C_Initialize(arguments);
        if (rv == CKR_OK)
            atomic_store(&initialised, true);
    }
    return call_ends(&call, rv);
}

static CK_RV shim_C_Finalize(void *reserved)
{
    struct call call;
    CK_RV rv;
    if (call_begins(F_C_Finalize, &call, &rv)) {
        rv = real->C_Finalize(reserved);
        if (rv == CKR_OK) {
            atomic_store(&initialised, false);
            rules_finalised();
            state_finalised();
        }
    }
    return call_ends(&call, rv);
}

static CK_RV list_twice(CK_SLOT_ID *slots, CK_ULONG room, CK_ULONG *count)
{
    CK_ULONG found = *count;
    *count = 2 * found;
    if (slots && room < 2 * found)
        return CKR_BUFFER_TOO_SMALL;
    for (CK_ULONG i = 0; slots && i < found; i++)
        slots[found + i] = slots[i];
    return CKR_OK;
}

static CK_RV shim_C_GetSlotList(unsigned char present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    struct call call;
    CK_RV rv;
    CK_ULONG room = *count;
    if (call_begins(F_C_GetSlotList, &call, &rv)) {
        rv = real->C_GetSlotList(present, slots, count);
        if (rv == CKR_OK && rules_slots_twice())
            rv = list_twice(slots, room, count);
    }
    return call_ends(&call, rv);
}

static CK_RV shim_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct call call;
    CK_RV rv;
    if (call_begins(F_C_GetTokenInfo, &call, &rv)) {
        rv = real->C_GetTokenInfo(slot, info);
        if (rv == CKR_OK && (info->flags & CKF_TOKEN_INITIALIZED)) {
            state_describe(slot, info);
            rules_describe(info);
        }
    }
    return call_ends(&call, rv);
}

struct opening {
    CK_SLOT_ID slot;
    CK_FLAGS flags;
    void *application;
    CK_NOTIFY notify;
};

static CK_RV open_real(void *context, CK_SESSION_HANDLE *ret)
{
    const struct opening *o = context;
    return real->C_OpenSession(o->slot, o->flags, o->application, o->notify, ret);
}

static CK_RV shim_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                                CK_SESSION_HANDLE *ret)
{
    struct call call;
    CK_RV rv;
    struct opening opening = {slot, flags, application, notify};
    if (call_begins(F_C_OpenSession, &call, &rv))
        rv = state_open(slot, open_real, &opening, ret);
    return call_ends(&call, rv);
}

static CK_RV shim_C_CloseSession(CK_SESSION_HANDLE session)
{
    struct call call;
    CK_RV rv;
    if (call_begins(F_C_CloseSession, &call, &rv)) {
        rv = real->C_CloseSession(session);
        state_closed(session);
    }
    return call_ends(&call, rv);
}

static CK_RV shim_C_CloseAllSessions(CK_SLOT_ID slot)
{
    struct call call;
    CK_RV rv;
    if (call_begins(F_C_CloseAllSessions, &call, &rv)) {
        rv = real->C_CloseAllSessions(slot);
        state_closed_all(slot);
    }
    return call_ends(&call, rv);
}

struct login {
    CK_SESSION_HANDLE session;
    CK_USER_TYPE user;
    unsigned char *pin;
    CK_ULONG len;
};

static CK_RV login_real(void *context)
{
    const struct login *l = context;
    return real->C_Login(l->session, l->user, l->pin, l->len);
}

static CK_RV shim_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin, CK_ULONG len)
{
    struct call call;
    CK_RV rv;
    struct login login = {session, user, pin, len};
    if (call_begins(F_C_Login, &call, &rv))
        rv = state_login(user, login_real, &login);
    return call_ends(&call, rv);
}

static CK_RV shim_C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                      CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct call call;
    CK_RV rv;
    if (!call_begins(F_C_GetAttributeValue, &call, &rv))
        return call_ends(&call, rv);
    rv = real->C_GetAttributeValue(session, object, attributes, count);
    for (CK_ULONG i = 0; i < count; i++) {
        int value;
        if (!rules_lie(attributes[i].type, &value))
            continue;
        if (value < 0) {
            attributes[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
            rv = CKR_ATTRIBUTE_TYPE_INVALID;
        } else if (attributes[i].pValue && attributes[i].ulValueLen == 1) {
            *(unsigned char *)attributes[i].pValue = (unsigned char)value;
        }
    }
    return call_ends(&call, rv);
}

static CK_RV shim_C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct call call;
    CK_RV rv;
    char label[64] = "";
    CK_ATTRIBUTE asked = {CKA_LABEL, label, sizeof label - 1};
    if (call_begins(F_C_SignInit, &call, &rv)) {
        rv = real->C_SignInit(session, mechanism, key);
        if (rv == CKR_OK && real->C_GetAttributeValue(session, key, &asked, 1) == CKR_OK)
            signed_begins(session, label);
    }
    return call_ends(&call, rv);
}

/* A token that fails C_Sign has ended the operation all the same (PKCS#11 v2.40 §5.11). */
static CK_RV shim_C_Sign(CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG data_len,
                         unsigned char *signature, CK_ULONG *len)
{
    struct call call;
    CK_RV rv;
    unsigned char lost[1024];
    CK_ULONG lost_len = sizeof lost;
    if (call_begins(F_C_Sign, &call, &rv)) {
        rv = real->C_Sign(session, data, data_len, signature, len);
        if (rv == CKR_OK && signature && *len > 0)
            signed_note(session, data, data_len);
        if (rv == CKR_OK && signature && *len > 0 && rules_wrong(&call))
            signature[*len - 1] ^= 1;
    } else {
        real->C_Sign(session, data, data_len, lost, &lost_len);
    }
    return call_ends(&call, rv);
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
