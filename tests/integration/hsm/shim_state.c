/* What real tokens keep count of and SoftHSM does not: wrong PINs, which lock, and open sessions, which run
 * out. */
#include "tests/integration/hsm/shim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS_MAX 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
    unsigned long limit; /* of wrong PINs; 0: they are not counted */
    char path[256];
} tries;

static struct {
    bool told;
    long limit; /* 0 and -1: as PKCS#11 has them, no limit and not known */
    CK_SESSION_HANDLE handles[SESSIONS_MAX];
    CK_SLOT_ID slots[SESSIONS_MAX];
    size_t count;
} sessions;

void state_read(void)
{
    const char *counted = getenv("SHIM_PIN_TRIES"), *limit = getenv("SHIM_SESSIONS");
    memset(&tries, 0, sizeof tries);
    if (counted && (sscanf(counted, "%lu:%255[^\n]", &tries.limit, tries.path) != 2 || tries.limit == 0))
        bad_rule("SHIM_PIN_TRIES");
    sessions.told = limit != NULL;
    if (limit && (sscanf(limit, "%ld", &sessions.limit) != 1 || sessions.limit < -1))
        bad_rule("SHIM_SESSIONS");
    sessions.count = 0;
}

static unsigned long wrong_pins(void)
{
    unsigned long wrong = 0;
    FILE *file = fopen(tries.path, "r");
    if (file && fscanf(file, "%lu", &wrong) != 1)
        bad_rule("SHIM_PIN_TRIES");
    if (file)
        fclose(file);
    return wrong;
}

static void write_wrong_pins(unsigned long wrong)
{
    FILE *file = fopen(tries.path, "w");
    if (!file || fprintf(file, "%lu\n", wrong) < 0 || fclose(file) != 0)
        bad_rule("SHIM_PIN_TRIES");
}

CK_RV state_login(CK_USER_TYPE user, CK_RV (*login)(void *), void *context)
{
    if (tries.limit == 0 || user != CKU_USER)
        return login(context);
    pthread_mutex_lock(&lock);
    unsigned long wrong = wrong_pins();
    CK_RV rv = wrong >= tries.limit ? CKR_PIN_LOCKED : login(context);
    if (rv == CKR_PIN_INCORRECT)
        write_wrong_pins(wrong + 1);
    else if (rv == CKR_OK && wrong > 0)
        write_wrong_pins(0);
    pthread_mutex_unlock(&lock);
    return rv;
}

static size_t sessions_with(CK_SLOT_ID slot)
{
    size_t count = 0;
    for (size_t i = 0; i < sessions.count; i++)
        count += sessions.slots[i] == slot;
    return count;
}

CK_RV state_open(CK_SLOT_ID slot, CK_RV (*open)(void *, CK_SESSION_HANDLE *), void *context,
                 CK_SESSION_HANDLE *ret)
{
    pthread_mutex_lock(&lock);
    bool full = sessions.told && sessions.limit > 0 && sessions_with(slot) >= (size_t)sessions.limit;
    CK_RV rv = full ? CKR_SESSION_COUNT : open(context, ret);
    if (rv == CKR_OK && sessions.count < SESSIONS_MAX) {
        sessions.handles[sessions.count] = *ret;
        sessions.slots[sessions.count++] = slot;
    }
    pthread_mutex_unlock(&lock);
    return rv;
}

static void forget(size_t i)
{
    sessions.count--;
    sessions.handles[i] = sessions.handles[sessions.count];
    sessions.slots[i] = sessions.slots[sessions.count];
}

void state_closed(CK_SESSION_HANDLE session)
{
    pthread_mutex_lock(&lock);
    for (size_t i = sessions.count; i-- > 0;)
        if (sessions.handles[i] == session)
            forget(i);
    pthread_mutex_unlock(&lock);
}

void state_closed_all(CK_SLOT_ID slot)
{
    pthread_mutex_lock(&lock);
    for (size_t i = sessions.count; i-- > 0;)
        if (sessions.slots[i] == slot)
            forget(i);
    pthread_mutex_unlock(&lock);
}

void state_finalised(void)
{
    pthread_mutex_lock(&lock);
    sessions.count = 0;
    pthread_mutex_unlock(&lock);
}

/* PKCS#11 v2.40 §3.2: COUNT_LOW after any wrong PIN, FINAL_TRY where the next one locks. */
void state_describe(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    if (tries.limit > 0) {
        unsigned long wrong = wrong_pins();
        info->flags |= wrong >= tries.limit ? CKF_USER_PIN_LOCKED : wrong > 0 ? CKF_USER_PIN_COUNT_LOW : 0;
        info->flags |= wrong + 1 == tries.limit ? CKF_USER_PIN_FINAL_TRY : 0;
    }
    if (sessions.told) {
        pthread_mutex_lock(&lock);
        info->ulMaxSessionCount = info->ulMaxRwSessionCount = (CK_ULONG)sessions.limit;
        info->ulSessionCount = sessions_with(slot);
        pthread_mutex_unlock(&lock);
    }
}
