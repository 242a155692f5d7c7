/* Judging a certificate by CRLs that came with it. Chains are check.c's. */
#include <stdio.h>
#include <string.h>

#include "provision/device/check.h"
#include "src/base/error.h"
#include "src/pki/bundle.h"
#include "src/pki/certificate.h"
#include "src/pki/chain.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

static int parse_der(const struct pc_bytes *data, STACK_OF(X509_CRL) * *ret)
{
    X509_CRL *PC_CLEANUP(X509_CRL_free_ref) crl = NULL;
    int r = pki_crl_parse(data->data, data->len, &crl);
    if (r < 0)
        return r;
    STACK_OF(X509_CRL) *crls = sk_X509_CRL_new_null();
    if (!crls || sk_X509_CRL_push(crls, crl) <= 0) {
        pki_crls_free(crls);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    crl = NULL;
    *ret = crls;
    return 0;
}

int dev_check_crls_parse(const struct pc_bytes *data, STACK_OF(X509_CRL) * *ret)
{
    bool der = data->len > 0 && data->data[0] == 0x30; /* SEQUENCE (X.690 §8.9) */
    int r = der ? parse_der(data, ret) : pki_bundle_crls(data->data, data->len, ret);
    return r == PC_EREFUSED ? pc_refuse("install-crl", "%s", pc_error_text()) : r;
}

/* What limits a CRL to a part of the certificates, and what changes another CRL: with either alone, a
 * revocation may be missing. */
static int check_whole(X509_CRL *crl)
{
    if (X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1) >= 0)
        return pc_refuse("install-crl", "the CRL covers a part of the certificates only (RFC 5280 §5.2.5)");
    if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0)
        return pc_refuse("install-crl", "the CRL is a delta CRL (RFC 5280 §5.2.4)");
    return 0;
}

static int check_one(const STACK_OF(X509) * chain, const STACK_OF(X509) * anchors, X509_CRL *crl, int64_t at)
{
    const struct pki_chain_rules rules = {
        .anchors = anchors,
        .crl = crl,
        .at = at,
        .ignore_not_yet = true,
        .purpose = X509_PURPOSE_SSL_CLIENT,
    };
    int r = check_whole(crl);
    if (r == 0)
        r = pki_chain_verify(chain, &rules);
    if (r == PC_EREFUSED && strcmp(pc_error_name(), "chain-revoked") == 0)
        return pc_refuse("install-revoked", "%s", pc_error_text());
    return r == PC_EREFUSED ? pc_refuse("install-crl", "%s", pc_error_text()) : r;
}

int dev_check_crls(const STACK_OF(X509) * chain, const STACK_OF(X509) * anchors,
                   const STACK_OF(X509_CRL) * crls, int64_t now, int64_t *ret_this_update)
{
    X509 *leaf = sk_X509_value(chain, 0);
    int64_t not_before, not_after, latest = 0;
    char fault[512] = "none of the CRLs given is by the certificate's issuer";
    int r = pki_certificate_dates(leaf, &not_before, &not_after);
    if (r < 0)
        return r;
    bool good = false;
    for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(crls, i);
        if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(leaf)) != 0)
            continue;
        r = check_one(chain, anchors, crl, now > not_before ? now : not_before);
        if (r < 0 && strcmp(pc_error_name(), "install-crl") != 0)
            return r;
        if (r < 0) {
            snprintf(fault, sizeof fault, "%s", pc_error_text());
            continue;
        }
        good = true;
        int64_t this_update = pki_time_of(X509_CRL_get0_lastUpdate(crl));
        latest = this_update > latest ? this_update : latest;
    }
    if (!good)
        return pc_refuse("install-crl", "%s", fault);
    *ret_this_update = latest;
    return 0;
}
