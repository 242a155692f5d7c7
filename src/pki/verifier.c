/* Leaves under a broker's CA file and CRL file. Chains with pinned anchors and strict rules, which are the
 * PLC's business, are in chain.c. */
#include "src/pki/verifier.h"

#include <limits.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"
#include "src/pki/verdict.h"

#define SECURITY_LEVEL 2 /* what Debian's OpenSSL gives to every SSL_CTX */

struct pki_verifier {
    X509_STORE *store;
};

void pki_verifier_free(struct pki_verifier *verifier)
{
    if (verifier)
        X509_STORE_free(verifier->store);
    free(verifier);
}

static int fill(X509_STORE *store, const STACK_OF(X509) * anchors, const STACK_OF(X509_CRL) * crls)
{
    for (int i = 0; i < sk_X509_num(anchors); i++) {
        if (X509_STORE_add_cert(store, sk_X509_value(anchors, i)) != 1)
            return pc_fail_openssl(PC_EFAIL, "CA certificate %d", i + 1);
    }
    for (int i = 0; crls && i < sk_X509_CRL_num(crls); i++) {
        if (X509_STORE_add_crl(store, sk_X509_CRL_value(crls, i)) != 1)
            return pc_fail_openssl(PC_EFAIL, "CRL %d", i + 1);
    }
    if (crls && X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) != 1)
        return pc_fail_openssl(PC_EFAIL, "CRL check");
    return 0;
}

int pki_verifier_new(const STACK_OF(X509) * anchors, const STACK_OF(X509_CRL) * crls,
                     struct pki_verifier **ret)
{
    PC_CLEANUP(pki_verifier_free_ref) struct pki_verifier *verifier = calloc(1, sizeof *verifier);
    int rc;

    if (!verifier || !(verifier->store = X509_STORE_new()))
        return pc_fail(PC_EFAIL, "out of memory");
    rc = fill(verifier->store, anchors, crls);
    if (rc)
        return rc;
    *ret = pc_steal(verifier);
    return 0;
}

static int judge(const struct pki_verifier *verifier, X509 *leaf, int64_t at)
{
    PC_CLEANUP(X509_STORE_CTX_free_ref) X509_STORE_CTX *context = X509_STORE_CTX_new();
    int verdict;

    /* Which of several CRLs or CA certificates counts is decided by their dates, within OpenSSL. */
    if (sizeof(long) < sizeof(int64_t))
        return pc_fail(PC_EFAIL, "libcrypto counts time in 32 bits on this machine");
    if (!context || X509_STORE_CTX_init(context, verifier->store, leaf, NULL) != 1 ||
        X509_STORE_CTX_set_default(context, "ssl_client") != 1)
        return pc_fail_openssl(PC_EFAIL, "verification cannot begin");
    X509_STORE_CTX_set_time(context, 0, (time_t)at);
    X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(context), SECURITY_LEVEL);
    verdict = X509_verify_cert(context);
    if (verdict < 0)
        return pc_fail_openssl(PC_EFAIL, "verification");
    return verdict == 1 ? 0 : pki_verdict_refuse_leaf(context);
}

int pki_verifier_judge(const struct pki_verifier *verifier, X509 *leaf, int64_t at)
{
    int rc = judge(verifier, leaf, at);

    ERR_clear_error();
    return rc;
}

bool pki_crl_lists(X509_CRL *crl, const struct pki_serial *serial)
{
    struct pki_serial copy = *serial; /* OpenSSL's type has no const */
    ASN1_INTEGER number = {.type = V_ASN1_INTEGER, .data = copy.octets, .length = (int)copy.len};
    X509_REVOKED *revoked;

    return X509_CRL_get0_by_serial(crl, &revoked, &number) != 0;
}
