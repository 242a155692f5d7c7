/* What a broker is given: one file of CA certificates and one of CRLs, from the record or as they lie there.
 */
#include <stdio.h>

#include <openssl/err.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/publish/publication.h"
#include "src/pki/bundle.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

void bundle_clear(struct bundle *bundle)
{
    pc_bytes_clear(&bundle->ca_pem);
    pc_bytes_clear(&bundle->crl_pem);
    pki_certificates_free(bundle->certificates);
    pki_crls_free(bundle->crls);
    *bundle = (struct bundle){0};
}

struct maker {
    struct ca *ca;
    struct bundle *bundle;
};

static int add_crl(const struct maker *m, const struct ledger_issuer *issuer)
{
    const struct ledger_ops *ops = m->ca->ledger->ops;
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    struct ledger_crl last;
    pc_autobytes der = {0};
    int r = ops->crl_last(m->ca->ledger, issuer->id, true, &last);
    if (r == 0 && last.number == 0)
        return issuer->foreign ? 0
                               : pc_refuse("crl-missing", "there is no CRL on record; plantca crl makes one");
    if (r == 0)
        r = ops->crl_body(m->ca->ledger, issuer->id, last.number, &der);
    if (r == 0)
        r = pki_crl_parse(der.data, der.len, &crl);
    if (r == 0)
        r = pki_crl_append_pem(crl, &m->bundle->crl_pem);
    if (r < 0)
        return r;
    if (sk_X509_CRL_push(m->bundle->crls, crl) <= 0)
        return pc_fail(PC_EFAIL, "out of memory");
    crl = NULL;
    return 0;
}

static int add_issuer(void *context, const struct ledger_issuer *issuer)
{
    const struct maker *m = context;
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    pc_autobytes der = {0};
    if (!issuer->active && !issuer->foreign)
        return 0;
    int r = m->ca->ledger->ops->body(m->ca->ledger, issuer->certificate, NULL, &der);
    if (r == 0)
        r = pki_certificate_parse(der.data, der.len, &certificate);
    if (r == 0)
        r = pki_certificate_append_pem(certificate, &m->bundle->ca_pem);
    if (r == 0 && sk_X509_push(m->bundle->certificates, certificate) <= 0)
        r = pc_fail(PC_EFAIL, "out of memory");
    if (r < 0)
        return r;
    certificate = NULL;
    return add_crl(m, issuer);
}

int bundle_of_record(struct ca *ca, struct bundle *ret)
{
    struct bundle PC_CLEANUP(bundle_clear)
        bundle = {.certificates = sk_X509_new_null(), .crls = sk_X509_CRL_new_null()};
    struct maker maker = {.ca = ca, .bundle = &bundle};
    if (!bundle.certificates || !bundle.crls)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = ca->ledger->ops->issuer_each(ca->ledger, add_issuer, &maker);
    if (r < 0)
        return r;
    *ret = bundle;
    bundle = (struct bundle){0};
    return 0;
}

static bool read_file(const char *dir, const char *name, struct pc_bytes *ret)
{
    char path[4096];
    int len = snprintf(path, sizeof path, "%s/ca/%s", dir, name);
    return len > 0 && (size_t)len < sizeof path && pc_file_read(path, CA_FILE_MAX, ret) == 0;
}

void bundle_of_files(const char *dir, struct bundle *ret)
{
    *ret = (struct bundle){0};
    if (read_file(dir, "ca.crt", &ret->ca_pem))
        (void)pki_bundle_certificates(ret->ca_pem.data, ret->ca_pem.len, &ret->certificates);
    if (read_file(dir, "ca.crl", &ret->crl_pem))
        (void)pki_bundle_crls(ret->crl_pem.data, ret->crl_pem.len, &ret->crls);
}

X509_CRL *bundle_crl(const struct bundle *bundle, X509 *issuer)
{
    for (int i = 0; i < sk_X509_CRL_num(bundle->crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(bundle->crls, i);
        /* By key, too: a CA of old may have the name of ours. */
        if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) == 0 &&
            X509_CRL_verify(crl, X509_get0_pubkey(issuer)) == 1)
            return crl;
    }
    ERR_clear_error();
    return NULL;
}

bool bundle_has(const struct bundle *bundle, X509 *issuer)
{
    for (int i = 0; i < sk_X509_num(bundle->certificates); i++)
        if (X509_cmp(sk_X509_value(bundle->certificates, i), issuer) == 0)
            return true;
    return false;
}

int bundle_between(const struct bundle *old, const struct bundle *new, struct pc_bytes *ret_crl_pem)
{
    pc_autobytes pem = {0};
    int r = pc_bytes_copy(new->crl_pem.data, new->crl_pem.len, &pem);
    for (int i = 0; r == 0 && i < sk_X509_num(old->certificates); i++) {
        X509 *issuer = sk_X509_value(old->certificates, i);
        X509_CRL *crl = bundle_crl(old, issuer);
        if (crl && !bundle_has(new, issuer) && !bundle_crl(new, issuer))
            r = pki_crl_append_pem(crl, &pem);
    }
    if (r < 0)
        return r;
    *ret_crl_pem = pem;
    pem = (struct pc_bytes){0};
    return 0;
}
