/* Chains: reading a leaf with what stands behind it, and holding it against pinned anchors. OpenSSL builds
 * and checks the path; dates are compared here, in 64 bits, since libcrypto's own comparison goes through the
 * machine's time_t. */
#include "src/pki/chain.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/certificate.h"
#include "src/pki/openssl.h"
#include "src/pki/verdict.h"

#define CHAIN_BYTES_MAX (1024 * 1024)
#define SECURITY_LEVEL 2 /* 112 bits: no RSA under 2048, no SHA-1 below the anchor */

void pki_chain_free(STACK_OF(X509) * chain)
{
    sk_X509_pop_free(chain, X509_free);
}

static void chain_free_ref(STACK_OF(X509) * *chain)
{
    pki_chain_free(*chain);
}

/* A stack that owns nothing of what it holds. */
static void borrowed_free_ref(STACK_OF(X509) * *stack)
{
    sk_X509_free(*stack);
}

/* One PEM block from `in`. 0 with *ret NULL at the end. */
static int read_one(BIO *in, X509 **ret)
{
    const char *rest;
    long rest_len = BIO_get_mem_data(in, &rest), der_len;
    pki_autoder *label = NULL;
    pki_autoder *header = NULL;
    pki_autoder *der = NULL;

    if (rest_len <= 0 || !memmem(rest, (size_t)rest_len, "-----BEGIN ", 11)) {
        *ret = NULL;
        return 0;
    }
    if (PEM_read_bio(in, (char **)&label, (char **)&header, &der, &der_len) != 1)
        return pc_refuse("chain-parse", "PEM block cannot be read (RFC 7468 §3)");
    if (strcmp((const char *)label, "CERTIFICATE") != 0)
        return pc_refuse("chain-parse", "PEM block is labelled '%.64s', not 'CERTIFICATE'",
                         (const char *)label);
    if (header[0] != '\0')
        return pc_refuse("chain-parse", "PEM block with headers (RFC 7468 §2)");
    if (pki_certificate_parse(der, (size_t)der_len, ret))
        return pc_refuse("chain-parse", "%s", pc_error_text());
    return 0;
}

static int parse(const void *data, size_t len, STACK_OF(X509) * *ret)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *in = NULL;
    PC_CLEANUP(chain_free_ref) STACK_OF(X509) *chain = sk_X509_new_null();

    if (len > CHAIN_BYTES_MAX)
        return pc_refuse("chain-parse", "chain of %zu bytes, more than %d", len, CHAIN_BYTES_MAX);
    in = BIO_new_mem_buf(data, (int)len);
    if (!in || !chain)
        return pc_fail(PC_EFAIL, "out of memory");
    for (;;) {
        PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
        int rc = read_one(in, &certificate);

        if (rc)
            return pc_fail_in("certificate %d", sk_X509_num(chain) + 1);
        if (!certificate)
            break;
        if (sk_X509_num(chain) >= PKI_CHAIN_MAX)
            return pc_refuse("chain-parse", "more than %d certificates", PKI_CHAIN_MAX);
        if (sk_X509_push(chain, certificate) <= 0)
            return pc_fail(PC_EFAIL, "out of memory");
        certificate = NULL;
    }
    if (sk_X509_num(chain) == 0)
        return pc_refuse("chain-parse", "no certificate in PEM (RFC 7468 §5)");
    *ret = pc_steal(chain);
    return 0;
}

int pki_chain_parse(const void *data, size_t len, STACK_OF(X509) * *ret)
{
    int rc = parse(data, len, ret);

    ERR_clear_error(); /* what hostile bytes left there is no news for the next caller */
    return rc;
}

static int check_dates(const STACK_OF(X509) * path, const struct pki_chain_rules *rules)
{
    for (int i = 0; i < sk_X509_num(path); i++) {
        const X509 *certificate = sk_X509_value(path, i);
        pc_autofree char *subject = pki_verdict_subject(certificate);
        int64_t from, until;
        char at[PC_TIME_TEXT], limit[PC_TIME_TEXT];
        int rc = pki_certificate_dates(certificate, &from, &until);

        if (rc)
            return rc;
        pc_time_format(rules->at, at);
        if (rules->at > until) {
            pc_time_format(until, limit);
            return pc_refuse("chain-expired",
                             "certificate %d (%s) ended at %s, and it is %s (RFC 5280 §4.1.2.5)", i,
                             subject ? subject : "no subject", limit, at);
        }
        if (rules->at < from && !rules->ignore_not_yet) {
            pc_time_format(from, limit);
            return pc_refuse("chain-not-yet",
                             "certificate %d (%s) begins at %s, and it is %s (RFC 5280 §4.1.2.5)", i,
                             subject ? subject : "no subject", limit, at);
        }
    }
    return 0;
}

static int check_crl_dates(const struct pki_chain_rules *rules)
{
    int64_t from = pki_time_of(X509_CRL_get0_lastUpdate(rules->crl));
    int64_t until = pki_time_of(X509_CRL_get0_nextUpdate(rules->crl));

    if (from == INT64_MIN || until == INT64_MIN)
        return pc_refuse("chain-crl", "CRL without thisUpdate or nextUpdate (RFC 5280 §5.1.2.5)");
    if (rules->at > until)
        return pc_refuse("chain-crl", "CRL is past its nextUpdate (RFC 5280 §5.1.2.5)");
    if (rules->at < from && !rules->ignore_not_yet)
        return pc_refuse("chain-crl", "CRL is not yet valid (RFC 5280 §5.1.2.4)");
    return 0;
}

/* A store that trusts the anchors and nothing else. */
static int make_store(const struct pki_chain_rules *rules, X509_STORE **ret)
{
    PC_CLEANUP(X509_STORE_free_ref) X509_STORE *store = X509_STORE_new();
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;

    if (!store)
        return pc_fail(PC_EFAIL, "out of memory");
    for (int i = 0; i < sk_X509_num(rules->anchors); i++) {
        if (X509_STORE_add_cert(store, sk_X509_value(rules->anchors, i)) != 1)
            return pc_fail_openssl(PC_EFAIL, "trust anchor");
    }
    if (rules->crl) {
        crl = X509_CRL_dup(rules->crl);
        if (!crl || X509_STORE_add_crl(store, crl) != 1)
            return pc_fail_openssl(PC_EFAIL, "CRL");
    }
    *ret = pc_steal(store);
    return 0;
}

/* Depth and flags; the anchors are self-signed (no X509_V_FLAG_PARTIAL_CHAIN), dates are ours. */
static bool set_parameters(X509_STORE_CTX *context, const struct pki_chain_rules *rules)
{
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);
    unsigned long flags = X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE |
                          X509_V_FLAG_NO_CHECK_TIME | (rules->crl ? X509_V_FLAG_CRL_CHECK : 0);

    X509_VERIFY_PARAM_set_depth(parameters, PKI_CHAIN_MAX);
    X509_VERIFY_PARAM_set_auth_level(parameters, SECURITY_LEVEL);
    return X509_VERIFY_PARAM_set_flags(parameters, flags) == 1 &&
           (rules->purpose == 0 || X509_VERIFY_PARAM_set_purpose(parameters, rules->purpose) == 1);
}

static int verify(const STACK_OF(X509) * chain, const struct pki_chain_rules *rules)
{
    int rc, verdict;
    PC_CLEANUP(X509_STORE_free_ref) X509_STORE *store = NULL;
    PC_CLEANUP(borrowed_free_ref) STACK_OF(X509) *untrusted = NULL;
    PC_CLEANUP(X509_STORE_CTX_free_ref) X509_STORE_CTX *context = X509_STORE_CTX_new();

    if (sk_X509_num(chain) < 1 || sk_X509_num(chain) > PKI_CHAIN_MAX)
        return pc_refuse("chain-invalid", "chain of %d certificates", sk_X509_num(chain));
    rc = make_store(rules, &store);
    if (rc)
        return rc;
    untrusted = sk_X509_dup(chain);
    if (!context || !untrusted ||
        X509_STORE_CTX_init(context, store, sk_X509_value(chain, 0), untrusted) != 1 ||
        !set_parameters(context, rules))
        return pc_fail_openssl(PC_EFAIL, "chain verification cannot begin");
    verdict = X509_verify_cert(context);
    if (verdict < 0)
        return pc_fail_openssl(PC_EFAIL, "chain verification");
    if (verdict == 0)
        return pki_verdict_refuse(context);
    rc = check_dates(X509_STORE_CTX_get0_chain(context), rules);
    return !rc && rules->crl ? check_crl_dates(rules) : rc;
}

int pki_chain_verify(const STACK_OF(X509) * chain, const struct pki_chain_rules *rules)
{
    int rc = verify(chain, rules);

    ERR_clear_error();
    return rc;
}
