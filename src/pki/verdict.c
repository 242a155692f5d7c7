/* OpenSSL's verdicts as refusals with stable names. */
#include "src/pki/verdict.h"

#include "src/base/error.h"
#include "src/base/memory.h"
#include "src/pki/name.h"

/* What OpenSSL's verdicts are called here; any other is "chain-invalid". */
static const struct verdict {
    int error; /* X509_V_ERR_… */
    const char *name;
} verdicts[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "chain-anchor"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "chain-anchor"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "chain-anchor"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "chain-anchor"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "chain-anchor"},
    {X509_V_ERR_CERT_UNTRUSTED, "chain-anchor"},
    {X509_V_ERR_CERT_HAS_EXPIRED, "chain-expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "chain-not-yet"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "chain-signature"},
    {X509_V_ERR_CERT_REVOKED, "chain-revoked"},
    {X509_V_ERR_INVALID_PURPOSE, "chain-purpose"},
    {X509_V_ERR_UNABLE_TO_GET_CRL, "chain-crl"},
    {X509_V_ERR_CRL_SIGNATURE_FAILURE, "chain-crl"},
    {X509_V_ERR_CRL_NOT_YET_VALID, "chain-crl"},
    {X509_V_ERR_CRL_HAS_EXPIRED, "chain-crl"},
    {X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, "chain-crl"},
    {X509_V_ERR_DIFFERENT_CRL_SCOPE, "chain-crl"},
    {X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, "chain-crl"},
};

char *pki_verdict_subject(const X509 *certificate)
{
    char *text = NULL;

    if (!certificate || pki_name_format(X509_get_subject_name(certificate), &text))
        return NULL;
    return text;
}

static const char *name_of(int error)
{
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++)
        if (verdicts[i].error == error)
            return verdicts[i].name;
    return "chain-invalid";
}

int pki_verdict_refuse(X509_STORE_CTX *context)
{
    int error = X509_STORE_CTX_get_error(context), depth = X509_STORE_CTX_get_error_depth(context);
    pc_autofree char *subject = pki_verdict_subject(X509_STORE_CTX_get_current_cert(context));

    return pc_refuse(name_of(error), "certificate %d (%s): %s (RFC 5280 §6)", depth,
                     subject ? subject : "no subject", X509_verify_cert_error_string(error));
}

int pki_verdict_refuse_leaf(X509_STORE_CTX *context)
{
    int error = X509_STORE_CTX_get_error(context);

    if (X509_STORE_CTX_get_error_depth(context) > 0)
        return pki_verdict_refuse(context);
    return pc_refuse(name_of(error), "%s (RFC 5280 §6)", X509_verify_cert_error_string(error));
}
