/* Modules that do not come back, or late: what was asked ends by its time limit, what is asked afterwards
 * ends at once, and what may take its time is left to. Each case is a process of its own, since a module that
 * hangs hangs for good; all of them run side by side. */
#include "tests/integration/hsm/fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/base/error.h"

#define LIMIT 3 /* seconds; what is not meant to hang needs less, also on a busy machine */

static char serial[17];
static struct hsm_id shared;

static void claim(bool holds, const char *what)
{
    if (holds)
        return;
    printf("# %s; last error: %d '%s': %s\n", what, pc_error_code(), pc_error_name(), pc_error_text());
    fflush(stdout);
    _exit(1);
}
#define CLAIM(holds) claim((holds), #holds)

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* What a run does, one after the other. */
enum step { OPEN, INFO, LOGIN, COUNT, FIND, CHECK, SIGN, SIGN_AGAIN, WORK, DESTROY, CLOSE, ALL };
static const char *const step_names[] = {"open", "info",       "login", "count",   "find", "check",
                                         "sign", "sign again", "work",  "destroy", "close"};

struct run {
    struct hsm_token *token;
    struct hsm_key *key;
};

static int sign_once(struct hsm_key *key)
{
    static unsigned char text[] = "to be signed";
    const struct pc_bytes data = {text, sizeof text};
    pc_autobytes signature = {0};
    return hsm_key_sign(key, EVP_sha256(), &data, &signature);
}

static int work_once(EVP_PKEY *signer, void *context)
{
    EVP_PKEY *public_key = context;
    return key_signs_for(signer, public_key) ? 0 : PC_EFAIL;
}

static int do_step(struct run *run, enum step step)
{
    const struct hsm_token_info *info;
    struct hsm_place place = {.module = fixture_shim(), .serial = serial, .timeout = LIMIT};
    struct hsm_id none = id_of("none");
    size_t count;
    int r;
    switch (step) {
    case OPEN:
        return hsm_token_open(&place, &run->token);
    case INFO:
        return hsm_token_info(run->token, &info);
    case LOGIN: {
        pc_autosecret *pin = secret_of(PIN);
        return hsm_token_login(run->token, pin);
    }
    case COUNT:
        return hsm_key_count(run->token, "shared", &count, NULL);
    case FIND:
        return hsm_key_find(run->token, &shared, &run->key);
    case CHECK:
        return hsm_key_check(run->key, NULL);
    case SIGN:
    case SIGN_AGAIN:
        return sign_once(run->key);
    case WORK:
        return hsm_key_work(run->key, work_once, hsm_key_public(run->key));
    case DESTROY:
        r = hsm_key_destroy(run->token, &none);
        return r == PC_EREFUSED ? 0 : r;
    case CLOSE:
        hsm_key_free(run->key);
        hsm_token_close(run->token);
        return pc_process_abandoned() ? PC_EUNREACH : 0;
    case ALL:
        break;
    }
    return 0;
}

struct hang {
    const char *rule;
    enum step step; /* that meets it */
};

/* Every step after it fails at once, and so does a new beginning. */
static void check_aftermath(struct run *run)
{
    double begin = seconds();
    CLAIM(pc_process_abandoned());
    for (enum step step = INFO; run->token && step < CLOSE; step++) {
        if ((step == CHECK || step == SIGN || step == SIGN_AGAIN || step == WORK) && !run->key)
            continue;
        pc_error_clear();
        CLAIM(do_step(run, step) == PC_EUNREACH && strcmp(pc_error_name(), "token-timeout") == 0);
    }
    hsm_key_free(run->key);
    hsm_token_close(run->token);
    struct run again = {0};
    CLAIM(do_step(&again, OPEN) == PC_EUNREACH && strcmp(pc_error_name(), "token-timeout") == 0);
    CLAIM(seconds() - begin < LIMIT);
}

static void run_hang(const struct hang *hang)
{
    struct run run = {0};
    setenv("SHIM_HANG", hang->rule, 1);
    for (enum step step = OPEN; step < hang->step; step++)
        claim(do_step(&run, step) == 0, step_names[step]);
    double begin = seconds();
    CLAIM(do_step(&run, hang->step) == PC_EUNREACH);
    CLAIM(seconds() - begin >= LIMIT - 0.1 && seconds() - begin < LIMIT + 20);
    if (hang->step == CLOSE)
        return;
    CLAIM(strcmp(pc_error_name(), "token-timeout") == 0 && strstr(pc_error_text(), "within 3 s"));
    check_aftermath(&run);
}

static void run_slow(const struct hang *slow)
{
    struct run run = {0};
    setenv("SHIM_DELAY", slow->rule, 1);
    for (enum step step = OPEN; step < ALL; step++)
        claim(do_step(&run, step) == 0, step_names[step]);
}

/* A signature that comes when nobody waits any more must not touch what was its caller's. */
static void run_late(const struct hang *late)
{
    struct run run = {0};
    setenv("SHIM_DELAY", late->rule, 1);
    for (enum step step = OPEN; step < SIGN; step++)
        claim(do_step(&run, step) == 0, step_names[step]);
    CLAIM(do_step(&run, SIGN) == PC_EUNREACH && strcmp(pc_error_name(), "token-timeout") == 0);
    size_t before = shim_calls("C_Sign");
    check_aftermath(&run);
    while (shim_calls("C_Sign") == before)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static void run_generation(const struct hang *slow)
{
    struct run run = {0};
    struct hsm_key *key = NULL;
    struct hsm_id id = id_random();
    setenv("SHIM_DELAY", slow->rule, 1);
    for (enum step step = OPEN; step < COUNT; step++)
        claim(do_step(&run, step) == 0, step_names[step]);
    CLAIM(hsm_key_generate(run.token, PKI_KEY_EC_P256, "slow", &id, &key) == 0);
    CLAIM(sign_once(key) == 0);
}

static void run_pad(const struct hang *slow)
{
    struct run run = {0};
    setenv("SHIM_DELAY", slow->rule, 1);
    setenv("SHIM_FLAGS_SET", "0x100", 1); /* CKF_PROTECTED_AUTHENTICATION_PATH */
    setenv("SHIM_FAIL", "C_Login:1:0x0", 1);
    CLAIM(do_step(&run, OPEN) == 0);
    CLAIM(hsm_token_login(run.token, NULL) == 0);
}

static void *sign_thrice(void *key)
{
    uintptr_t lost = 0;
    for (int i = 0; i < 3; i++)
        lost += sign_once(key) != 0;
    return (void *)lost;
}

/* One of four threads meets it: the others end, too. */
static void run_threads(const struct hang *hang)
{
    struct run run = {0};
    pthread_t threads[4];
    uintptr_t lost = 0;
    setenv("SHIM_HANG", hang->rule, 1);
    for (enum step step = OPEN; step < SIGN; step++)
        claim(do_step(&run, step) == 0, step_names[step]);
    for (size_t i = 0; i < 4; i++)
        CLAIM(pthread_create(&threads[i], NULL, sign_thrice, run.key) == 0);
    for (size_t i = 0; i < 4; i++) {
        void *result;
        CLAIM(pthread_join(threads[i], &result) == 0);
        lost += (uintptr_t)result;
    }
    CLAIM(lost >= 1 && lost <= 3);
    check_aftermath(&run);
}

static const struct scenario {
    const char *name;
    void (*run)(const struct hang *);
    struct hang hang;
} scenarios[] = {
    {"hang in C_Initialize", run_hang, {"C_Initialize:1", OPEN}},
    {"hang in C_GetSlotList", run_hang, {"C_GetSlotList:1", OPEN}},
    {"hang in C_GetTokenInfo", run_hang, {"C_GetTokenInfo:1", OPEN}},
    {"hang in C_OpenSession", run_hang, {"C_OpenSession:1", LOGIN}},
    {"hang in C_Login", run_hang, {"C_Login:1", LOGIN}},
    {"hang in C_FindObjectsInit", run_hang, {"C_FindObjectsInit:1", COUNT}},
    {"hang in C_FindObjects", run_hang, {"C_FindObjects:3", FIND}},
    {"hang in C_GetAttributeValue", run_hang, {"C_GetAttributeValue:1", FIND}},
    {"hang in libp11's C_OpenSession", run_hang, {"C_OpenSession:3", FIND}},
    {"hang in C_SignInit", run_hang, {"C_SignInit:1", SIGN}},
    {"hang in the first C_Sign", run_hang, {"C_Sign:1", SIGN}},
    {"hang in the second C_Sign", run_hang, {"C_Sign:2", SIGN_AGAIN}},
    {"hang in a C_Sign of OpenSSL's", run_hang, {"C_Sign:3", WORK}},
    {"hang in C_Finalize", run_hang, {"C_Finalize:1", CLOSE}},
    {"hang in one thread of four", run_threads, {"C_Sign:5", SIGN}},
    {"slow, but in time", run_slow, {"C_Sign:300,C_Login:300", ALL}},
    {"too late", run_late, {"C_Sign:3500", SIGN}},
    {"key generation takes its time", run_generation, {"C_GenerateKeyPair:3300", ALL}},
    {"a PIN pad takes its time", run_pad, {"C_Login:3300", ALL}},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

static pid_t pids[SCENARIOS];

static pid_t start(void (*run)(const struct hang *), const struct hang *hang)
{
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    fixture_apart();
    run(hang);
    _exit(0);
}

static int wait_for(pid_t pid)
{
    int status = -1;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* SoftHSM writes its token's file at each login, and others read it half: so each case has a copy. */
static void make_shared(void)
{
    struct run run = {0};
    struct hsm_key *key = NULL;
    for (enum step step = OPEN; step < COUNT; step++)
        claim(do_step(&run, step) == 0, step_names[step]);
    CLAIM(hsm_key_generate(run.token, PKI_KEY_EC_P256, "shared", &shared, &key) == 0);
    hsm_key_free(key);
    hsm_token_close(run.token);
    _exit(0);
}

/* This process never loads the module. */
static int start_all(void **state)
{
    (void)state;
    shared = id_random();
    pid_t maker = fork();
    if (maker == 0)
        make_shared();
    if (maker < 0 || wait_for(maker) != 0)
        return -1;
    for (size_t i = 0; i < SCENARIOS; i++)
        pids[i] = start(scenarios[i].run, &scenarios[i].hang);
    return 0;
}

static void test_scenario(void **state)
{
    const struct scenario *scenario = *state;
    assert_int_equal(wait_for(pids[scenario - scenarios]), 0);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[SCENARIOS];
    fixture_start(argc > 1 ? argv[1] : NULL);
    fixture_token("hang", serial);
    for (size_t i = 0; i < SCENARIOS; i++) {
        void *state;
        const struct scenario *scenario = &scenarios[i];
        memcpy(&state, &scenario, sizeof state);
        tests[i] = (struct CMUnitTest){scenarios[i].name, test_scenario, NULL, NULL, state};
    }
    int failed = cmocka_run_group_tests_name("hsm hang", tests, start_all, NULL);
    fixture_end();
    return failed;
}
