/* Reads the request of an item and judges it. Neither ledger nor token. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/batch/stages.h"
#include <openssl/err.h>
#include <openssl/pem.h>

#include "src/pki/openssl.h"

#define CHAIN_MAX 65536 /* bytes of a file that stands in a chain's place */

/* A link may lead anywhere tomorrow; a FIFO would hold the whole batch up. */
static int read_regular(int dirfd, const char *name, const char *path, size_t max, struct pc_bytes *ret)
{
    pc_autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 && errno == ELOOP)
        return pc_refuse("file-kind", "%s: a symbolic link", path);
    if (fd < 0 || fstat(fd, &status) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    if (!S_ISREG(status.st_mode))
        return pc_refuse("file-kind", "%s: not a regular file", path);
    return pc_fd_read(fd, path, max, ret);
}

static int read_request(const struct item *item, struct pc_bytes *ret)
{
    int r = read_regular(AT_FDCWD, item->entry.path, item->entry.path, PKI_REQUEST_MAX, ret);
    if (r == PC_EREFUSED && strcmp(pc_error_name(), "file-size") == 0)
        return pc_refuse("request-size", "%s: a request of more than %d bytes", item->entry.path,
                         PKI_REQUEST_MAX);
    return r;
}

static bool is_blank(const struct pc_bytes *data)
{
    size_t i = 0;
    while (i < data->len && data->data[i] == 0)
        i++;
    return i == data->len;
}

/* What stands in the place of the chain must be a chain of this plant, or nothing. */
static int judge_place(const struct batch *b, const struct item *item)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *in = NULL;
    PC_CLEANUP(X509_free_ref) X509 *found = NULL;
    pc_autobytes data = {0};
    pc_autofree char *cn = NULL;
    struct stat status;
    if (fstatat(b->out, item->output, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        return 0;
    pc_autofree char *path = pc_path_join(b->options->out, item->output);
    if (!path)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = read_regular(b->out, item->output, path, CHAIN_MAX, &data);
    if (r < 0)
        return r;
    /* A power cut leaves a file that was written behind empty, or full of zeros. */
    if (is_blank(&data))
        return 0;
    in = BIO_new_mem_buf(data.data, (int)data.len);
    found = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    if (found && pki_name_cn(X509_get_subject_name(found), &cn) == 0 && strcmp(cn, item->entry.plant) == 0)
        return 0;
    ERR_clear_error();
    return pc_refuse("file-foreign", "%s: stands in the place of the chain, and is none of this plant", path);
}

static int judge_request(const struct batch *b, struct item *item)
{
    const struct pki_request_rules rules = {.profile = &pki_profile_device,
                                            .plant = item->entry.plant,
                                            .issuer_key = b->ca->public_key,
                                            .issuer = b->ca->certificate};
    pc_autobytes csr = {0};
    int r = read_request(item, &csr);
    if (r < 0)
        return r;
    r = pki_request_parse(csr.data, csr.len, &rules, &item->work.request);
    if (r == PC_EREFUSED)
        item->work.refused_act = "request";
    if (r < 0) {
        char sha256[PKI_FINGERPRINT_TEXT];
        (void)pc_fail_in("%s", item->entry.path);
        /* Of the bytes as they came: there is no request yet. */
        if (pki_digest_hex(csr.data, csr.len, sha256) == 0)
            memcpy(item->work.request_sha256, sha256, sizeof sha256);
        return r;
    }
    memcpy(item->work.request_sha256, item->work.request->request_sha256, sizeof item->work.request_sha256);
    pc_bytes_clear(&item->work.request->der);
    return 0;
}

static void prepare(const struct batch *b, struct work *work)
{
    work->enrolment = (struct enrolment){
        .asked = {.renew_due = b->options->renew, .revoke_old = -1},
        .days = b->ca->settings->device_days,
        .issuance = {.plan = {.profile = &pki_profile_device,
                              .subject_key = work->request->key,
                              .cn = work->request->cn},
                     .cn = work->request->cn,
                     .request_sha256 = work->request_sha256},
    };
}

int batch_judge(void *batch, struct work *work)
{
    const struct batch *b = batch;
    struct item *item = item_of(work);
    if (item->entry.failure.code)
        return ca_failure_again(&item->entry.failure);
    snprintf(item->output, sizeof item->output, "%s.crt", item->entry.plant);
    int r = judge_place(b, item);
    if (r == 0)
        r = judge_request(b, item);
    if (r == 0)
        prepare(b, work);
    return r;
}
