/* Trust anchors that come over the network, and who vouches for them; and the way from a new certificate up
 * to one. Bytes and signatures alone. */
#include <openssl/err.h>

#include "provision/device/check.h"
#include "provision/device/enrol_steps.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/pki/certificate.h"
#include "src/pki/chain.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"

/* Stacks that own nothing of what they hold. */
static void borrowed_free_ref(STACK_OF(X509) * *stack)
{
    sk_X509_free(*stack);
}

bool dev_anchors_hold(const STACK_OF(X509) * certificates, const X509 *certificate)
{
    for (int i = 0; i < sk_X509_num(certificates); i++)
        if (X509_cmp(sk_X509_value(certificates, i), certificate) == 0)
            return true;
    return false;
}

static bool is_anchor(X509 *certificate)
{
    bool fine = X509_check_purpose(certificate, -1, 0) == 1 && X509_check_ca(certificate) == 1 &&
                X509_self_signed(certificate, 1) == 1;
    ERR_clear_error();
    return fine;
}

/* Whether `cross` says of the anchor's name and key what the anchor says of itself, and one of `anchors` says
 * it. An issuing CA could say of itself what it likes: its own certificate, which has a path length, makes it
 * no anchor (RFC 5280 §4.2.1.9). */
static bool proves(X509 *cross, const X509 *anchor, const STACK_OF(X509) * anchors, int64_t at)
{
    const struct pki_chain_rules rules = {.anchors = anchors, .at = at, .ignore_not_yet = true};
    PC_CLEANUP(borrowed_free_ref) STACK_OF(X509) *chain = sk_X509_new_null();
    bool fine = chain && X509_NAME_cmp(X509_get_subject_name(cross), X509_get_subject_name(anchor)) == 0 &&
                EVP_PKEY_eq(X509_get0_pubkey(cross), X509_get0_pubkey(anchor)) == 1 &&
                X509_check_purpose(cross, -1, 0) == 1 && X509_check_ca(cross) == 1 &&
                X509_get_pathlen(cross) < 0 && X509_self_signed(cross, 0) == 0 &&
                sk_X509_push(chain, cross) > 0 && pki_chain_verify(chain, &rules) == 0;
    ERR_clear_error();
    return fine;
}

static void tell(const X509 *anchor, bool taken)
{
    pc_autofree char *subject = NULL;
    if (pki_name_format(X509_get_subject_name(anchor), &subject) < 0)
        return;
    pc_log(PC_LOG_NOTICE,
           taken ? "the trust anchor %s is new: it is taken, since the present one has signed its key"
                 : "the station names the trust anchor %s: it is left, since no present one has signed its "
                   "key",
           subject);
}

int dev_anchors_extend(STACK_OF(X509) * anchors, const STACK_OF(X509) * offered, int64_t at)
{
    PC_CLEANUP(borrowed_free_ref) STACK_OF(X509) *held = sk_X509_dup(anchors);
    if (!held)
        return pc_fail(PC_EFAIL, "out of memory");
    for (int i = 0; i < sk_X509_num(offered); i++) {
        X509 *anchor = sk_X509_value(offered, i);
        bool proven = false;
        if (dev_anchors_hold(anchors, anchor) || !is_anchor(anchor))
            continue;
        for (int j = 0; !proven && j < sk_X509_num(offered); j++)
            proven = proves(sk_X509_value(offered, j), anchor, held, at);
        proven = proven && sk_X509_num(anchors) < PKI_CHAIN_MAX;
        tell(anchor, proven);
        if (!proven)
            continue;
        if (X509_up_ref(anchor) != 1 || sk_X509_push(anchors, anchor) <= 0)
            return pc_fail(PC_EFAIL, "out of memory");
    }
    return 0;
}

static X509 *issuer_among(const STACK_OF(X509) * certificates, X509 *subject)
{
    X509 *found = NULL;
    for (int i = 0; !found && i < sk_X509_num(certificates); i++) {
        X509 *candidate = sk_X509_value(certificates, i);
        if (X509_check_issued(candidate, subject) == X509_V_OK &&
            X509_verify(subject, X509_get0_pubkey(candidate)) == 1)
            found = candidate;
    }
    ERR_clear_error();
    return found;
}

int dev_chain_complete(X509 *leaf, const STACK_OF(X509) * offered, const STACK_OF(X509) * anchors,
                       struct pc_bytes *ret_pem)
{
    PC_CLEANUP(borrowed_free_ref) STACK_OF(X509) *chain = sk_X509_new_null();
    bool fine = chain && sk_X509_push(chain, leaf) > 0;
    X509 *top = leaf;
    while (fine && !issuer_among(anchors, top) && sk_X509_num(chain) < PKI_CHAIN_MAX) {
        top = issuer_among(offered, top);
        if (!top || dev_anchors_hold(chain, top))
            break;
        fine = sk_X509_push(chain, top) > 0;
    }
    return fine ? dev_certificates_pem(chain, ret_pem) : pc_fail(PC_EFAIL, "out of memory");
}

int dev_certificates_pem(const STACK_OF(X509) * certificates, struct pc_bytes *ret_pem)
{
    pc_autobytes pem = {0};
    int r = 0;
    for (int i = 0; r == 0 && i < sk_X509_num(certificates); i++)
        r = pki_certificate_append_pem(sk_X509_value(certificates, i), &pem);
    if (r < 0)
        return r;
    *ret_pem = pem;
    pem = (struct pc_bytes){0};
    return 0;
}
