/* The bounded TCTI: transmit keeps the command, receive exchanges it in a thread under the deadline. Which
 * TCTI may be opened, and what an error means to the user, is decided elsewhere (context.c, fault.c). */
#include "provision/tpm/link.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tss2/tss2_tctildr.h>
#include <tss2/tss2_tpm2_types.h>

#define LINK_MAGIC UINT64_C(0x706c616e7463746d)
#define LINK_BUFFER 4096        /* octets; TPM2_MAX_COMMAND_SIZE of every TPM in the field is at most this */
#define LINK_HEADER 10          /* tag, size, code (Part 1 §18) */
#define LINK_STACK (512 * 1024) /* a process with locked memory pays for the whole stack of a thread */
#define LINK_CLOSE_MS 1000      /* what closing may take */
#define LINK_PAUSE_FIRST 10     /* milliseconds before a command that was put off is sent again */
#define LINK_PAUSE_LAST 500
#define LINK_AGAIN_MS 1000 /* what a command that is sent again may take at least */

struct tpm_link {
    TSS2_TCTI_CONTEXT_COMMON_V2 common; /* first: tpm2-tss sees the link as this */
    TSS2_TCTI_CONTEXT *inner;
    char *tcti;
    atomic_int holders; /* the opener, and a thread that runs a step */
    void (*step)(struct tpm_link *link);
    int64_t deadline;
    bool timed_out, dead;
    bool given_up; /* the last command was put off until the deadline passed */
    TSS2_RC rc;    /* of the last step */
    size_t command_len, response_len;
    uint8_t command[LINK_BUFFER], response[LINK_BUFFER];
};

int64_t tpm_link_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct timespec moment(int64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

/* --- steps that may block, each in a thread --- */

static void step_open(struct tpm_link *link)
{
    link->rc = Tss2_TctiLdr_Initialize(link->tcti, &link->inner);
}

static void step_exchange(struct tpm_link *link)
{
    link->rc = Tss2_Tcti_Transmit(link->inner, link->command_len, link->command);
    if (link->rc != TSS2_RC_SUCCESS)
        return;
    link->response_len = sizeof(link->response);
    link->rc = Tss2_Tcti_Receive(link->inner, &link->response_len, link->response, TSS2_TCTI_TIMEOUT_BLOCK);
}

static void step_close(struct tpm_link *link)
{
    Tss2_TctiLdr_Finalize(&link->inner);
}

/* The last holder, be it a thread that had been given up, closes and frees. */
static void release(struct tpm_link *link)
{
    if (atomic_fetch_sub(&link->holders, 1) > 1)
        return;
    if (link->inner != NULL)
        Tss2_TctiLdr_Finalize(&link->inner);
    free(link->tcti);
    free(link);
}

static void *run_step(void *argument)
{
    struct tpm_link *link = argument;
    link->step(link);
    release(link);
    return NULL;
}

/* A thread that was given up may wake after its program has unloaded the module that this code is in: so it
 * stays. */
static void stay_loaded(void)
{
    static const char here;
    Dl_info info;
    if (dladdr(&here, &info) != 0 && info.dli_fname != NULL)
        (void)dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

static int start(pthread_t *thread, struct tpm_link *link)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error)
        return error;
    (void)pthread_attr_setstacksize(&attributes, LINK_STACK);
    /* The host program's signals are none of this thread's business. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, &attributes, run_step, link);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

/* Runs one step; its result, or TSS2_TCTI_RC_TRY_AGAIN when the deadline passed. From then on the link
 * belongs to the step's thread too, and nothing but its flags may be looked at. */
static TSS2_RC run(struct tpm_link *link, void (*step)(struct tpm_link *link), int64_t deadline)
{
    pthread_t thread;
    link->rc = TSS2_TCTI_RC_GENERAL_FAILURE;
    link->step = step;
    atomic_fetch_add(&link->holders, 1);
    if (start(&thread, link) != 0) {
        atomic_fetch_sub(&link->holders, 1);
        return TSS2_TCTI_RC_GENERAL_FAILURE;
    }
    struct timespec until = moment(deadline);
    if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0)
        return link->rc;
    link->timed_out = link->dead = true;
    stay_loaded();
    pthread_detach(thread);
    return TSS2_TCTI_RC_TRY_AGAIN;
}

/* --- the exchange --- */

static uint32_t word(const uint8_t *octet)
{
    return (uint32_t)octet[0] << 24 | (uint32_t)octet[1] << 16 | (uint32_t)octet[2] << 8 | octet[3];
}

static uint32_t response_code(const struct tpm_link *link)
{
    return word(link->response + 6);
}

/* As long as its own header says, neither cut short nor with something behind it. */
static bool well_formed(const struct tpm_link *link)
{
    return link->response_len >= LINK_HEADER && word(link->response + 2) == link->response_len;
}

static bool put_off(const struct tpm_link *link)
{
    if (link->response_len != LINK_HEADER)
        return false;
    /* A resource manager answers in its own layer. */
    switch (response_code(link) & ~TSS2_RC_LAYER_MASK) {
    case TPM2_RC_RETRY:
    case TPM2_RC_YIELDED:
    case TPM2_RC_TESTING:
    case TPM2_RC_NV_RATE:
        return true;
    default:
        return false;
    }
}

static TSS2_RC exchange(struct tpm_link *link)
{
    int64_t until = link->deadline;
    link->given_up = false;
    for (int64_t pause = LINK_PAUSE_FIRST;;
         pause = pause * 2 < LINK_PAUSE_LAST ? pause * 2 : LINK_PAUSE_LAST) {
        TSS2_RC rc = run(link, step_exchange, until);
        if (rc != TSS2_RC_SUCCESS) {
            link->dead = true;
            return rc;
        }
        int64_t next = tpm_link_now() + pause;
        link->given_up = put_off(link) && next >= link->deadline;
        if (!put_off(link) || link->given_up)
            return TSS2_RC_SUCCESS;
        struct timespec wake = moment(next);
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL) != 0)
            continue;
        /* Or a TPM that is busy to the last would look like a silent one. */
        until = link->deadline > next + LINK_AGAIN_MS ? link->deadline : next + LINK_AGAIN_MS;
    }
}

static TSS2_RC link_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    struct tpm_link *link = (struct tpm_link *)context;
    if (link->dead)
        return TSS2_TCTI_RC_IO_ERROR;
    if (size > sizeof(link->command))
        return TSS2_TCTI_RC_BAD_VALUE;
    memcpy(link->command, command, size);
    link->command_len = size;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC link_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
    (void)timeout; /* the deadline decides */
    struct tpm_link *link = (struct tpm_link *)context;
    if (link->dead)
        return TSS2_TCTI_RC_IO_ERROR;
    if (link->command_len == 0)
        return TSS2_TCTI_RC_BAD_SEQUENCE;
    if (response == NULL) {
        *size = sizeof(link->response);
        return TSS2_RC_SUCCESS;
    }
    /* ESYS tries a command that was put off five times more: it has been tried enough. */
    TSS2_RC rc = link->given_up ? TSS2_RC_SUCCESS : exchange(link);
    /* TRY_AGAIN would make ESYS ask again, for ever. */
    if (rc != TSS2_RC_SUCCESS)
        return rc == TSS2_TCTI_RC_TRY_AGAIN ? TSS2_TCTI_RC_IO_ERROR : rc;
    link->command_len = 0;
    if (!well_formed(link))
        return TSS2_TCTI_RC_MALFORMED_RESPONSE;
    if (*size < link->response_len)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    memcpy(response, link->response, link->response_len);
    *size = link->response_len;
    return TSS2_RC_SUCCESS;
}

static void link_finalize(TSS2_TCTI_CONTEXT *context)
{
    (void)context; /* tpm_link_close does it */
}

static TSS2_RC link_cancel(TSS2_TCTI_CONTEXT *context)
{
    (void)context;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC link_poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *count)
{
    (void)context;
    (void)handles;
    (void)count;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC link_set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
    (void)context;
    (void)locality;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC link_make_sticky(TSS2_TCTI_CONTEXT *context, TPM2_HANDLE *handle, uint8_t sticky)
{
    (void)context;
    (void)handle;
    (void)sticky;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static const TSS2_TCTI_CONTEXT_COMMON_V2 link_common = {
    .v1 = {.magic = LINK_MAGIC,
           .version = 2,
           .transmit = link_transmit,
           .receive = link_receive,
           .finalize = link_finalize,
           .cancel = link_cancel,
           .getPollHandles = link_poll_handles,
           .setLocality = link_set_locality},
    .makeSticky = link_make_sticky,
};

TSS2_RC tpm_link_open(const char *tcti, int64_t deadline, struct tpm_link **ret)
{
    struct tpm_link *link = calloc(1, sizeof(*link));
    *ret = link;
    if (link == NULL)
        return TSS2_TCTI_RC_MEMORY;
    atomic_init(&link->holders, 1);
    link->common = link_common;
    link->tcti = strdup(tcti);
    link->deadline = deadline;
    TSS2_RC rc = link->tcti == NULL ? TSS2_TCTI_RC_MEMORY : run(link, step_open, deadline);
    link->dead = rc != TSS2_RC_SUCCESS;
    return rc;
}

void tpm_link_close(struct tpm_link *link)
{
    if (link == NULL)
        return;
    if (!link->timed_out && link->inner != NULL)
        (void)run(link, step_close, tpm_link_now() + LINK_CLOSE_MS);
    release(link);
}

TSS2_RC tpm_link_flush(struct tpm_link *link, uint32_t handle)
{
    const uint8_t command[] = {0x80,
                               0x01,
                               0,
                               0,
                               0,
                               14,
                               0,
                               0,
                               0x01,
                               0x65,
                               (uint8_t)(handle >> 24),
                               (uint8_t)(handle >> 16),
                               (uint8_t)(handle >> 8),
                               (uint8_t)handle};
    if (link->dead)
        return TSS2_TCTI_RC_IO_ERROR;
    memcpy(link->command, command, sizeof(command));
    link->command_len = sizeof(command);
    TSS2_RC rc = exchange(link);
    link->command_len = 0;
    if (rc != TSS2_RC_SUCCESS)
        return TSS2_TCTI_RC_IO_ERROR;
    return well_formed(link) ? response_code(link) : TSS2_TCTI_RC_MALFORMED_RESPONSE;
}

const uint8_t *tpm_link_response(const struct tpm_link *link, size_t *ret_len)
{
    *ret_len = link->dead ? 0 : link->response_len;
    return link->response;
}

TSS2_TCTI_CONTEXT *tpm_link_tcti(struct tpm_link *link)
{
    return (TSS2_TCTI_CONTEXT *)link;
}

void tpm_link_until(struct tpm_link *link, int64_t deadline)
{
    link->deadline = deadline;
    link->given_up = false;
}

int64_t tpm_link_deadline(const struct tpm_link *link)
{
    return link->deadline;
}

bool tpm_link_timed_out(const struct tpm_link *link)
{
    return link->timed_out;
}
