/* Certificates: to-be-signed bytes from a plan, PEM and DER, and our own verdict on what was signed (RFC 5280
 * §4). */
#ifndef PKI_CERTIFICATE_H
#define PKI_CERTIFICATE_H

#include <stdint.h>

#include <openssl/x509v3.h>

#include "src/base/memory.h"
#include "src/pki/key.h"
#include "src/pki/profile.h"

#define PKI_SERIAL_MAX 20 /* octets, RFC 5280 §4.1.2.2 */
#define PKI_SERIAL_TEXT (2 * PKI_SERIAL_MAX + 1)

struct pki_serial {
    unsigned char octets[PKI_SERIAL_MAX]; /* big endian, first octet 0x01…0x7f: positive, no padding */
    size_t len;
};
int pki_serial_random(struct pki_serial *ret); /* 20 octets, 158 random bits */
void pki_serial_format(const struct pki_serial *serial, char ret[PKI_SERIAL_TEXT]); /* lower-case hex */
int pki_serial_parse(const char *hex, struct pki_serial *ret); /* PC_EUSAGE; leading zeros and ':' accepted */
int pki_serial_of(const X509 *certificate, struct pki_serial *ret);

/* All that goes into a certificate. Everything borrowed. */
struct pki_certificate_plan {
    const struct pki_profile *profile;
    const EVP_PKEY *subject_key;
    const X509_NAME *subject;   /* PKI_SUBJECT_GIVEN */
    const char *cn;             /* PKI_SUBJECT_PLANT (also the SAN), …_HOST, …_CN */
    const GENERAL_NAMES *hosts; /* PKI_SAN_HOSTS */
    const X509 *issuer; /* NULL: self-signed; issuer name, AKI keyid and the latest end come from it */
    const EVP_PKEY *issuer_key; /* public half is enough: its kind decides the signature algorithm */
    struct pki_serial serial;
    int64_t not_before, not_after; /* seconds; both inclusive (RFC 5280 §4.1.2.5) */
};

/* Dates for `days` days from `now`: notBefore = now - backdate, notAfter = notBefore + days*86400 - 1 (both
 * seconds count), but never past the issuer's notAfter, nor 9999. PC_EREFUSED when the issuer's time
 * is over ("issuer-expired") or has not come ("issuer-early"); `issuer` may be NULL. */
int pki_validity(int64_t now, int64_t backdate, int64_t days, const X509 *issuer, int64_t *ret_not_before,
                 int64_t *ret_not_after);

/* The DER to-be-signed bytes. The same plan always gives the same bytes. */
int pki_certificate_tbs(const struct pki_certificate_plan *plan, struct pc_bytes *ret_tbs);

/* Parses DER (all of it) or exactly one PEM block. PC_EREFUSED ("certificate-parse"). Extensions are decoded
 * and cached. */
int pki_certificate_parse(const void *data, size_t len, X509 **ret);
/* The one CN of the subject, owned by the caller, without decoding key and extensions, which is most of what
 * parsing costs: for records of what others have judged. PC_EREFUSED ("certificate-parse", "name-cn"). */
int pki_certificate_cn(const void *der, size_t len, char **ret);
int pki_certificate_der(const X509 *certificate, struct pc_bytes *ret);
/* Appends one PEM block to `pem`. */
int pki_certificate_append_pem(const X509 *certificate, struct pc_bytes *pem);
int pki_certificate_der_append_pem(const struct pc_bytes *der, struct pc_bytes *pem);
/* notBefore and notAfter in seconds, whatever the machine's time_t. */
int pki_certificate_dates(const X509 *certificate, int64_t *ret_not_before, int64_t *ret_not_after);
int64_t pki_time_of(const ASN1_TIME *time); /* INT64_MIN when it is no valid time */

/* Our own lint, before anything is released: the certificate says what the plan says and nothing else:
 * version 3, serial, names, dates, key, every extension with its criticality and no other, encodings of RFC
 * 5280 (UTCTime to 2049, GeneralizedTime from 2050, no fractional seconds). The signature by the issuer's key
 * verifies. PC_EFAIL naming the clause and what was found. */
int pki_certificate_lint(const X509 *certificate, const struct pki_certificate_plan *plan);
/* The same from the DER bytes: what parsing for others would cost (OpenSSL 3.0: more than the signature) is
 * saved. */
int pki_certificate_lint_der(const struct pc_bytes *der, const struct pki_certificate_plan *plan);

#endif
