/* Signatures by the audit key: detached CMS over bytes or a file, judged before it is given out. */
#include "src/ca/audit/key.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/cms.h"
#include "src/pki/openssl.h"

/* What a signature is made of. On the heap: a module that never comes back may still hold it. */
struct work {
    X509 *signer;
    BIO *content;
    int64_t at;
    struct pc_bytes der;
};

static void work_free(struct work *work)
{
    if (!work)
        return;
    X509_free(work->signer);
    BIO_free_all(work->content);
    pc_bytes_clear(&work->der);
    free(work);
}
PC_DEFINE_CLEANUP(struct work, work_free);

static int sign(EVP_PKEY *key, void *context)
{
    struct work *w = context;
    return pki_cms_sign(key, w->signer, w->content, w->at, &w->der);
}

/* `content` and `again` give the same bytes; both are taken over. */
static int sign_content(struct ca *ca, BIO *content, BIO *again, struct pc_bytes *ret_cms)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *first = content, *second = again;
    struct work *w PC_CLEANUP(work_free_ref) = calloc(1, sizeof *w);
    if (!w || !first || !second)
        return pc_fail_openssl(PC_EFAIL, "what the audit key is to sign");
    X509_up_ref(ca->audit_certificate);
    w->signer = ca->audit_certificate;
    w->content = pc_steal(first);
    w->at = pc_now();
    int r = hsm_key_work(ca->audit_key, sign, w);
    if (r == PC_EUNREACH && strcmp(pc_error_name(), "token-timeout") == 0) {
        w = NULL;
        return r;
    }
    if (r == 0)
        r = pki_cms_verify(w->der.data, w->der.len, second, ca->certificate, NULL, NULL, NULL);
    if (r < 0)
        return r;
    *ret_cms = w->der;
    w->der = (struct pc_bytes){0};
    return 0;
}

int audit_sign_bytes(struct ca *ca, const struct pc_bytes *content, struct pc_bytes *ret_cms)
{
    int r = audit_key_ensure(ca);
    if (r < 0)
        return r;
    return sign_content(ca, BIO_new_mem_buf(content->data, (int)content->len),
                        BIO_new_mem_buf(content->data, (int)content->len), ret_cms);
}

int audit_sign_file(struct ca *ca, const char *path, struct pc_bytes *ret_cms)
{
    int r = audit_key_ensure(ca);
    if (r < 0)
        return r;
    r = sign_content(ca, BIO_new_file(path, "rb"), BIO_new_file(path, "rb"), ret_cms);
    return r < 0 ? pc_fail_in("%s", path) : 0;
}
