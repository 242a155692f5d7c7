/* What EST (RFC 7030, corrected by RFC 8951) puts into HTTP bodies. Bytes in, bytes out; both ends use it. */
#ifndef EST_BODY_H
#define EST_BODY_H

#include <openssl/x509.h>

#include "src/base/memory.h"

#define EST_TYPE_CERTS "application/pkcs7-mime; smime-type=certs-only" /* RFC 7030 §4.1.3, §4.2.3 */
#define EST_TYPE_CACERTS "application/pkcs7-mime"                      /* §4.1.3 */
#define EST_TYPE_REQUEST "application/pkcs10"                          /* §4.2.1 */
#define EST_TYPE_ATTRIBUTES "application/csrattrs"                     /* §4.5.2 */
#define EST_BODY_MAX (256 * 1024)                                      /* bytes; no body of ours is longer */

/* Base64 (RFC 4648 §4) of DER, as RFC 8951 §3.1 has it: Content-Transfer-Encoding is ignored, CR, LF, tab
 * and blank are passed over anywhere. PC_EREFUSED "est-base64" for any other octet, wrong padding, nothing at
 * all, or more than EST_BODY_MAX. */
int est_body_decode(const void *text, size_t len, struct pc_bytes *ret_der);
/* `wrapped`: lines of 64 with a LF behind each (libest reads nothing else); else one line without an end
 * (strongSwan 5.9.8 reads nothing else). */
int est_body_encode(const struct pc_bytes *der, bool wrapped, struct pc_bytes *ret_text);

/* A "certs-only" CMS SignedData (RFC 5652 §5, RFC 5272 §4.1): no content, no signers. Certificates in the
 * order given. */
int est_certs_build(const struct pc_bytes *certificates, size_t count, struct pc_bytes *ret_der);
/* The reverse: at most `most` certificates, owned by the caller. PC_EREFUSED "est-certs" when it is anything
 * else: trailing bytes, signers, content, CRLs, no certificate, or more of them. */
int est_certs_read(const struct pc_bytes *der, size_t most, STACK_OF(X509) * *ret);

/* CSR attributes (RFC 7030 §4.5.2, RFC 9908): what the station wants to see in a request. */
struct est_attributes {
    bool binding; /* challengePassword that links to the TLS session is asked for (RFC 7030 §3.5) */
    /* The key that is wanted. RFC 9908 §3.2 has a way to name one kind and none to offer two: with both of
     * them nothing is said of keys, and the PLC may choose. */
    bool rsa_2048, ec_p256;
};
int est_attributes_build(const struct est_attributes *attributes, struct pc_bytes *ret_der);
/* Attributes that are not ours to know are passed over. PC_EREFUSED "est-attributes" when it is no CsrAttrs.
 */
int est_attributes_read(const struct pc_bytes *der, struct est_attributes *ret);

#endif
