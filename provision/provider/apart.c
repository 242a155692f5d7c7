/* The thread in which the TPM is used: it shares the program's memory but not its descriptors. (fork(2)
 * copies the descriptors of the thread that calls it. A child would otherwise hold the connection to a TPM
 * that serves one user at a time, for as long as it lives.) */
#include "provision/provider/apart.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/secret.h"

#define STACK (512 * 1024) /* a process with locked memory pays for the whole of it */

static void silence(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        (void)dup2(null, fd);
    if (null > STDERR_FILENO)
        close(null);
}

static void part(const struct prov_context *context)
{
    /* D-Bus goes on with its descriptors in a thread of GLib's, from one signature to the next; and behind
     * that daemon there is a resource manager. */
    if (strncmp(context->tcti, "tabrmd", 6) == 0)
        return;
    /* The program's descriptors are closed here too, so that it can end a connection meanwhile. A kernel
     * before 5.9 cannot do that in one step, and leaves them open until the signature is made. */
    if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_UNSHARE) != 0 && unshare(CLONE_FILES) != 0)
        return;
    if (context->silent)
        silence();
}

/* Only a wrapped key needs the SRK; its auth value is not kept in the memory of somebody else's program. */
static int find_srk_auth(const struct prov_job *job, struct pc_secret **ret)
{
    const char *path = job->context->srk_auth_file;

    if (path == NULL || tpm_key_handle(job->key) != 0)
        return 0;
    return pc_secret_from_file("SRK's auth value", path, ret);
}

/* Some octets of a hash of the key's Name and the auth value that it is used with; 0 when out of memory. */
static uint64_t mark(const struct prov_job *job, const struct pc_secret *srk_auth)
{
    const struct tpm_name *name = tpm_key_name(job->key);
    unsigned char hash[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    uint64_t ret = 0;

    if (digest != NULL && EVP_DigestInit_ex2(digest, EVP_sha256(), NULL) == 1 &&
        EVP_DigestUpdate(digest, name->octets, name->len) == 1 &&
        (srk_auth == NULL || EVP_DigestUpdate(digest, srk_auth->data, srk_auth->len) == 1) &&
        EVP_DigestFinal_ex(digest, hash, NULL) == 1)
        memcpy(&ret, hash, sizeof(ret));
    EVP_MD_CTX_free(digest);
    return ret;
}

/* A client connects again and again, and where the key above ours is not noDA the TPM counts: tried with each
 * connection, a wrong value would end in lockout for all who use the TPM. */
static int judge_refused(const struct prov_job *job, const struct pc_secret *srk_auth)
{
    uint64_t refused = atomic_load(&job->context->refused);

    if (refused == 0 || refused != mark(job, srk_auth))
        return 0;
    return pc_fail_named(PC_EAUTH, "tpm-auth",
                         "the TPM has refused this key's auth value, which is not tried again: %s",
                         srk_auth != NULL ? "give another one" : "srk-auth-file gives the SRK's");
}

static void *run(void *argument)
{
    struct prov_job *job = argument;
    PC_CLEANUP(tpm_close_ref) struct tpm *tpm = NULL;
    struct tpm_place place = prov_place(job->context);
    pc_autosecret *srk_auth = NULL;
    int r;

    part(job->context);
    r = find_srk_auth(job, &srk_auth);
    if (srk_auth != NULL)
        place.srk_auth = srk_auth;
    if (r == 0)
        r = judge_refused(job, place.srk_auth);
    if (r == 0)
        r = tpm_open(&place, &tpm);
    if (r == 0)
        r = tpm_key_sign(tpm, job->key, job->scheme, job->md, job->digest, job->digest_len, job->signature,
                         &job->len);
    if (r == PC_EAUTH && strcmp(pc_error_name(), "tpm-auth") == 0)
        atomic_store(&job->context->refused, mark(job, place.srk_auth));
    if (r < 0) {
        job->fault.code = r;
        job->fault.name = pc_error_name();
        snprintf(job->fault.text, sizeof(job->fault.text), "%s", pc_error_text());
    }
    return NULL;
}

static int start(pthread_t *thread, struct prov_job *job)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int error = pthread_attr_init(&attributes);

    if (error)
        return error;
    (void)pthread_attr_setstacksize(&attributes, STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, &attributes, run, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

int prov_job_run(struct prov_job *job)
{
    pthread_t thread;
    int error, state;

    job->fault.code = 0;
    /* The job is on the caller's stack: nobody may be cancelled away from under it. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    error = start(&thread, job);
    if (error == 0)
        error = pthread_join(thread, NULL);
    pthread_setcancelstate(state, &state);
    if (error) {
        job->fault = (struct prov_fault){.code = PC_EFAIL, .name = "failure"};
        snprintf(job->fault.text, sizeof(job->fault.text), "no thread for the TPM: %s", strerror(error));
    }
    return job->fault.code ? pc_fail_named(job->fault.code, job->fault.name, "%s", job->fault.text) : 0;
}
