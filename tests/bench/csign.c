/* csign MODULE LABEL PINFILE THREADS SECONDS: how many signatures a second the token makes, called straight
 * through PKCS#11 by so many threads with a session each: what any program above it is measured by. The key
 * is the CA's ("plantca-root"). Prints the rate, and the microseconds of processor time a signature. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#define THREADS_MAX 64

static CK_FUNCTION_LIST *module;
static CK_SLOT_ID slot;
static atomic_bool over;

static void must(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        fprintf(stderr, "csign: %s: 0x%lx\n", what, rv);
        exit(1);
    }
}

static void load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW);
    CK_RV (*list)(CK_FUNCTION_LIST **);
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    if (!symbol) {
        fprintf(stderr, "csign: %s\n", dlerror());
        exit(1);
    }
    memcpy(&list, &symbol, sizeof list);
    must(list(&module), "C_GetFunctionList");
    CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
    must(module->C_Initialize(&arguments), "C_Initialize");
}

static void find_slot(const char *label)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    must(module->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        must(module->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
        if (strncmp((const char *)info.label, label, strlen(label)) == 0) {
            slot = slots[i];
            return;
        }
    }
    fprintf(stderr, "csign: no token %s\n", label);
    exit(1);
}

static CK_SESSION_HANDLE open_session(void)
{
    CK_SESSION_HANDLE session;
    must(module->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession");
    return session;
}

static void login(CK_SESSION_HANDLE session, const char *pin_file)
{
    char pin[256] = "";
    FILE *file = fopen(pin_file, "r");
    if (!file || !fgets(pin, sizeof pin, file)) {
        perror(pin_file);
        exit(1);
    }
    fclose(file);
    pin[strcspn(pin, "\n")] = '\0';
    must(module->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)), "C_Login");
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session, CK_KEY_TYPE *ret_type)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    char label[] = "plantca-root";
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, sizeof label - 1}};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_ULONG found = 0;
    must(module->C_FindObjectsInit(session, wanted, 2), "C_FindObjectsInit");
    must(module->C_FindObjects(session, &key, 1, &found), "C_FindObjects");
    must(module->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    if (found != 1) {
        fprintf(stderr, "csign: no key %s\n", label);
        exit(1);
    }
    CK_ATTRIBUTE type = {CKA_KEY_TYPE, ret_type, sizeof *ret_type};
    must(module->C_GetAttributeValue(session, key, &type, 1), "C_GetAttributeValue");
    return key;
}

static void *sign(void *signatures)
{
    /* A DigestInfo of SHA-256 for RSA, a hash alone for ECDSA. */
    CK_BYTE data[51] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                        0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    CK_BYTE signature[1024];
    CK_SESSION_HANDLE session = open_session();
    CK_KEY_TYPE type = 0;
    CK_OBJECT_HANDLE key = find_key(session, &type);
    bool rsa = type == CKK_RSA;
    CK_MECHANISM mechanism = {rsa ? CKM_RSA_PKCS : CKM_ECDSA, NULL, 0};
    for (unsigned long *count = signatures; !atomic_load(&over); ++*count) {
        CK_ULONG len = sizeof signature;
        must(module->C_SignInit(session, &mechanism, key), "C_SignInit");
        must(module->C_Sign(session, rsa ? data : data + 19, rsa ? sizeof data : 32, signature, &len),
             "C_Sign");
    }
    return NULL;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    unsigned long counts[THREADS_MAX] = {0}, sum = 0;
    long wanted = argc == 6 ? strtol(argv[4], NULL, 10) : 0;
    if (wanted < 1 || wanted > THREADS_MAX) {
        fprintf(stderr, "usage: csign MODULE LABEL PINFILE THREADS SECONDS\n");
        return 2;
    }
    load(argv[1]);
    find_slot(argv[2]);
    login(open_session(), argv[3]);
    double begun = now(), seconds = strtod(argv[5], NULL);
    for (long i = 0; i < wanted; i++)
        if (pthread_create(&threads[i], NULL, sign, &counts[i]) != 0)
            return 1;
    struct timespec pause = {.tv_sec = (time_t)seconds,
                             .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&pause, NULL);
    atomic_store(&over, true);
    for (long i = 0; i < wanted; i++) {
        pthread_join(threads[i], NULL);
        sum += counts[i];
    }
    printf("%.1f %.1f\n", (double)sum / (now() - begun), cpu() / (double)sum * 1e6);
    module->C_Finalize(NULL);
    return 0;
}
