/* Judging a chain before it is installed. Where the bytes come from and go to is install.c's. */
#include "provision/device/check.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "provision/device/operation.h"
#include "src/base/error.h"
#include "src/base/memory.h"
#include "src/base/random.h"
#include "src/pki/certificate.h"
#include "src/pki/chain.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"
#include "src/pki/profile.h"

#define DER_SEQUENCE 0x30 /* X.690 §8.9 */

int dev_check_parse(const struct pc_bytes *data, STACK_OF(X509) * *ret)
{
    if (data->len == 0 || data->data[0] != DER_SEQUENCE)
        return pki_chain_parse(data->data, data->len, ret);
    X509 *PC_CLEANUP(X509_free_ref) certificate = NULL;
    if (pki_certificate_parse(data->data, data->len, &certificate) < 0)
        return pc_refuse("chain-parse", "%s", pc_error_text());
    STACK_OF(X509) *chain = sk_X509_new_null();
    if (!chain || sk_X509_push(chain, certificate) <= 0) {
        pki_chain_free(chain);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    certificate = NULL;
    *ret = chain;
    return 0;
}

int dev_check_anchors(const STACK_OF(X509) * anchors)
{
    for (int i = 0; i < sk_X509_num(anchors); i++) {
        X509 *anchor = sk_X509_value(anchors, i);
        if (X509_check_purpose(anchor, -1, 0) != 1)
            return pc_refuse("install-anchor", "anchor %d: its extensions cannot be read", i);
        if (X509_check_ca(anchor) != 1)
            return pc_refuse("install-anchor", "anchor %d: is no CA certificate", i);
        if (X509_self_signed(anchor, 1) != 1)
            return pc_refuse("install-anchor", "anchor %d: is not signed by itself", i);
    }
    return 0;
}

int64_t dev_check_anchors_end(const STACK_OF(X509) * anchors)
{
    int64_t end = 0, from, until;
    for (int i = 0; anchors && i < sk_X509_num(anchors); i++)
        if (pki_certificate_dates(sk_X509_value(anchors, i), &from, &until) == 0 && until > end)
            end = until;
    return end;
}

/* A clock behind notBefore is wrong, since the certificate exists: what had ended by then has ended. */
static int judged_at(const X509 *leaf, int64_t now, int64_t *ret)
{
    int64_t not_before, not_after;
    int r = pki_certificate_dates(leaf, &not_before, &not_after);
    if (r < 0)
        return r;
    if (not_after < not_before)
        return pc_refuse("install-dates", "the certificate ends before it begins");
    *ret = now > not_before ? now : not_before;
    return 0;
}

/* Which CA is wanted, and which is here. */
static int name_anchors(const STACK_OF(X509) * chain, const STACK_OF(X509) * anchors)
{
    X509 *top = sk_X509_value(chain, sk_X509_num(chain) - 1);
    pc_autofree char *wanted = NULL, *given = NULL;
    if (pki_name_format(X509_get_issuer_name(top), &wanted) < 0 || sk_X509_num(anchors) < 1 ||
        pki_name_format(X509_get_subject_name(sk_X509_value(anchors, 0)), &given) < 0)
        return pc_refuse("chain-anchor", "the certificate leads to none of the trust anchors");
    return pc_refuse("chain-anchor",
                     "the certificate does not lead to the trust anchor: it was issued by %s, the trust "
                     "anchor%s %s (RFC 5280 §6)%s",
                     wanted, sk_X509_num(anchors) > 1 ? "s begin with" : " is", given,
                     strcmp(wanted, given) == 0 ? "; they have the same name and not the same key" : "");
}

static int check_dates(const STACK_OF(X509) * chain, const STACK_OF(X509) * anchors, int64_t now)
{
    int64_t at = now;
    int r = judged_at(sk_X509_value(chain, 0), now, &at);
    if (r < 0)
        return r;
    const struct pki_chain_rules rules = {
        .anchors = anchors,
        .at = at,
        .ignore_not_yet = true,
        .purpose = X509_PURPOSE_SSL_CLIENT,
    };
    r = pki_chain_verify(chain, &rules);
    return dev_refused_as(r, "chain-anchor") ? name_anchors(chain, anchors) : r;
}

static int check_usage(X509 *leaf)
{
    const struct pki_profile *profile = &pki_profile_device;
    uint32_t flags = X509_get_extension_flags(leaf);
    if (!(flags & EXFLAG_BCONS) || (flags & EXFLAG_CA))
        return pc_refuse("install-profile",
                         "basicConstraints does not say that this is no CA (RFC 5280 §4.2.1.9)");
    if (!(flags & EXFLAG_KUSAGE) || X509_get_key_usage(leaf) != profile->key_usage)
        return pc_refuse("install-profile", "keyUsage is not digitalSignature alone (RFC 5280 §4.2.1.3)");
    EXTENDED_KEY_USAGE *PC_CLEANUP(EXTENDED_KEY_USAGE_free_ref) usage =
        X509_get_ext_d2i(leaf, NID_ext_key_usage, NULL, NULL);
    if (!usage || sk_ASN1_OBJECT_num(usage) != 1 ||
        OBJ_obj2nid(sk_ASN1_OBJECT_value(usage, 0)) != profile->extended_key_usage)
        return pc_refuse("install-profile", "extKeyUsage is not clientAuth alone (RFC 5280 §4.2.1.12)");
    return 0;
}

static int check_san(X509 *leaf, const char *cn)
{
    char wanted[sizeof "urn:uuid:" + PKI_UUID_TEXT];
    int len = snprintf(wanted, sizeof wanted, "urn:uuid:%s", cn);
    GENERAL_NAMES *PC_CLEANUP(GENERAL_NAMES_free_ref) names =
        X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    if (!names || sk_GENERAL_NAME_num(names) != 1)
        return pc_refuse("install-profile", "subjectAltName is not exactly one URI");
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, 0);
    if (name->type != GEN_URI || ASN1_STRING_length(name->d.uniformResourceIdentifier) != len ||
        memcmp(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), wanted, (size_t)len) != 0)
        return pc_refuse("install-profile", "subjectAltName is not %s (RFC 4122 §3)", wanted);
    return 0;
}

static int check_cn(const char *cn, const struct dev_expected *expected, size_t count)
{
    size_t reasons = 0;
    for (size_t i = 0; i < count; i++) {
        if (!expected[i].plant || !*expected[i].plant)
            continue;
        reasons++;
        if (strcmp(cn, expected[i].plant) != 0)
            return pc_refuse("install-cn", "the certificate is for %s, but %s is %s", cn, expected[i].source,
                             expected[i].plant);
    }
    return reasons ? 0
                   : pc_refuse("plant-missing",
                               "no plant is configured and none was requested: nothing says that the "
                               "certificate for %s is meant for this PLC",
                               cn);
}

/* By names and key identifiers, and by the signature: an impostor has the first two. */
static bool has_issued(X509 *issuer, X509 *subject)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    return X509_check_issued(issuer, subject) == X509_V_OK && key && X509_verify(subject, key) == 1;
}

/* What is installed is what clients send: a stranger's certificate among it would go out in each handshake.
 */
static int check_order(const STACK_OF(X509) * chain)
{
    for (int i = 1; i < sk_X509_num(chain); i++) {
        bool issued = has_issued(sk_X509_value(chain, i), sk_X509_value(chain, i - 1));
        ERR_clear_error();
        if (!issued)
            return pc_refuse("install-order",
                             "certificate %d of the chain did not issue the one before it (RFC 5246 §7.4.2)",
                             i + 1);
    }
    return 0;
}

int dev_check_chain(const STACK_OF(X509) * chain, const STACK_OF(X509) * anchors,
                    const struct dev_expected *expected, size_t count, int64_t now)
{
    X509 *leaf = sk_X509_value(chain, 0);
    if (X509_check_purpose(leaf, -1, 0) != 1)
        return pc_refuse("install-profile", "the certificate's extensions cannot be read");
    int r = check_dates(chain, anchors, now);
    if (r == 0)
        r = check_order(chain);
    pc_autofree char *cn = NULL;
    if (r == 0)
        r = pki_name_cn(X509_get_subject_name(leaf), &cn);
    if (r < 0)
        return r;
    if (X509_NAME_entry_count(X509_get_subject_name(leaf)) != 1 || !pki_uuid_is_canonical(cn))
        return pc_refuse("install-cn", "the subject is not CN = canonical UUID and nothing else");
    r = check_cn(cn, expected, count);
    if (r == 0)
        r = check_usage(leaf);
    return r < 0 ? r : check_san(leaf, cn);
}

static bool same_extension(const X509 *a, const X509 *b, int nid)
{
    int at_a = X509_get_ext_by_NID(a, nid, -1), at_b = X509_get_ext_by_NID(b, nid, -1);
    if (at_a < 0 || at_b < 0)
        return at_a < 0 && at_b < 0;
    return ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(X509_get_ext(a, at_a)),
                                 X509_EXTENSION_get_data(X509_get_ext(b, at_b))) == 0;
}

int dev_check_successor(X509 *leaf, X509 *before)
{
    if (X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_subject_name(before)) != 0)
        return pc_refuse("install-subject", "the subject is not that of the certificate installed");
    if (!same_extension(leaf, before, NID_subject_alt_name))
        return pc_refuse("install-san", "subjectAltName is not that of the certificate installed");
    return 0;
}

int dev_check_signature(EVP_PKEY *key, X509 *leaf)
{
    unsigned char text[32], signature[1024];
    size_t len = sizeof signature;
    int r = pc_random(text, sizeof text);
    if (r < 0)
        return r;
    EVP_MD_CTX *PC_CLEANUP(EVP_MD_CTX_free_ref) sign = EVP_MD_CTX_new();
    EVP_MD_CTX *PC_CLEANUP(EVP_MD_CTX_free_ref) verify = EVP_MD_CTX_new();
    if (!sign || !verify)
        return pc_fail(PC_EFAIL, "out of memory");
    pc_error_clear();
    if (EVP_DigestSignInit_ex(sign, NULL, "SHA256", NULL, NULL, key, NULL) != 1 ||
        EVP_DigestSign(sign, signature, &len, text, sizeof text) != 1)
        /* The TPM's own words, where the provider's signature got as far as the TPM. */
        return pc_error_code() ? pc_fail_in("a signature by the key")
                               : pc_fail_openssl(PC_EFAIL, "a signature by the key");
    if (EVP_DigestVerifyInit_ex(verify, NULL, "SHA256", NULL, NULL, X509_get0_pubkey(leaf), NULL) != 1 ||
        EVP_DigestVerify(verify, signature, len, text, sizeof text) != 1)
        return pc_refuse("install-signature",
                         "what the TPM's key signs does not verify with the certificate's key");
    return 0;
}
