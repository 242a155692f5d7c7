/* Reading files of several PEM blocks. Chains, which begin with a leaf and hold nothing else, are chain.c's.
 */
#include "src/pki/bundle.h"

#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/pki/certificate.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

void pki_certificates_free(STACK_OF(X509) * certificates)
{
    sk_X509_pop_free(certificates, X509_free);
}

void pki_crls_free(STACK_OF(X509_CRL) * crls)
{
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
}

static void certificates_free_ref(STACK_OF(X509) * *certificates)
{
    pki_certificates_free(*certificates);
}

static void crls_free_ref(STACK_OF(X509_CRL) * *crls)
{
    pki_crls_free(*crls);
}

/* The next block with one of the two labels; 0 with ret_der empty at the end. */
static int next_block(BIO *in, const char *label, const char *old_label, struct pc_bytes *ret_der)
{
    for (;;) {
        pki_autoder *found = NULL;
        pki_autoder *header = NULL;
        pki_autoder *der = NULL;
        long len;

        if (PEM_read_bio(in, (char **)&found, (char **)&header, &der, &len) != 1) {
            unsigned long error = ERR_peek_last_error();

            *ret_der = (struct pc_bytes){0};
            return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE
                       ? 0
                       : pc_refuse("bundle-parse", "PEM block cannot be read (RFC 7468 §3)");
        }
        if (strcmp((const char *)found, label) == 0 || strcmp((const char *)found, old_label) == 0)
            return pc_bytes_copy(der, (size_t)len, ret_der);
    }
}

/* Takes one object in; more than PKI_BUNDLE_MAX are refused by `each` itself. */
typedef int bundle_object(void *stack, const struct pc_bytes *der);

static int each_block(const void *data, size_t len, const char *label, const char *old_label,
                      bundle_object *take, void *stack)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *in = len <= INT_MAX ? BIO_new_mem_buf(data, (int)len) : NULL;

    if (!in)
        return pc_refuse("bundle-parse", "%zu bytes cannot be read", len);
    for (int count = 0;; count++) {
        pc_autobytes der = {0};
        int rc = next_block(in, label, old_label, &der);

        if (!rc && der.len == 0)
            return count > 0 ? 0 : pc_refuse("bundle-parse", "no PEM block labelled '%s'", label);
        if (!rc && count == PKI_BUNDLE_MAX)
            return pc_refuse("bundle-parse", "more than %d blocks labelled '%s'", PKI_BUNDLE_MAX, label);
        if (!rc && take(stack, &der))
            rc = pc_refuse("bundle-parse", "%s", pc_error_text());
        if (rc)
            return pc_fail_in("block %d", count + 1);
    }
}

static int take_certificate(void *stack, const struct pc_bytes *der)
{
    X509 *certificate;
    int rc = pki_certificate_parse(der->data, der->len, &certificate);

    if (!rc && sk_X509_push(stack, certificate) <= 0) {
        X509_free(certificate);
        rc = pc_fail(PC_EFAIL, "out of memory");
    }
    return rc;
}

static int take_crl(void *stack, const struct pc_bytes *der)
{
    X509_CRL *crl;
    int rc = pki_crl_parse(der->data, der->len, &crl);

    if (!rc && sk_X509_CRL_push(stack, crl) <= 0) {
        X509_CRL_free(crl);
        rc = pc_fail(PC_EFAIL, "out of memory");
    }
    return rc;
}

int pki_bundle_certificates(const void *data, size_t len, STACK_OF(X509) * *ret)
{
    PC_CLEANUP(certificates_free_ref) STACK_OF(X509) *certificates = sk_X509_new_null();
    int rc = certificates
                 ? each_block(data, len, PEM_STRING_X509, PEM_STRING_X509_OLD, take_certificate, certificates)
                 : pc_fail(PC_EFAIL, "out of memory");

    ERR_clear_error(); /* what hostile bytes left there is no news for the next caller */
    if (!rc)
        *ret = pc_steal(certificates);
    return rc;
}

int pki_bundle_crls(const void *data, size_t len, STACK_OF(X509_CRL) * *ret)
{
    PC_CLEANUP(crls_free_ref) STACK_OF(X509_CRL) *crls = sk_X509_CRL_new_null();
    int rc = crls ? each_block(data, len, PEM_STRING_X509_CRL, PEM_STRING_X509_CRL, take_crl, crls)
                  : pc_fail(PC_EFAIL, "out of memory");

    ERR_clear_error();
    if (!rc)
        *ret = pc_steal(crls);
    return rc;
}
