/* Certificates as objects: serial numbers, validity, DER and PEM. Building is in certificate_build.c, our
 * verdict in certificate_lint.c. */
#include "src/pki/certificate.h"

#include <limits.h>
#include <string.h>

#include <openssl/err.h>

#include "src/base/error.h"
#include "src/base/random.h"
#include "src/base/time.h"
#include "src/pki/asn1.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"

#define DAYS_MAX INT64_C(3000000) /* more than lie before the year 9999 */
#define CERTIFICATE_MAX 65536     /* bytes */

int pki_serial_random(struct pki_serial *ret)
{
    struct pki_serial serial = {.len = PKI_SERIAL_MAX};
    int rc = pc_random(serial.octets, serial.len);

    if (rc)
        return rc;
    /* Bit 7 clear: positive; bit 6 set: always 20 octets, never zero. */
    serial.octets[0] = (unsigned char)((serial.octets[0] & 0x3f) | 0x40);
    *ret = serial;
    return 0;
}

void pki_serial_format(const struct pki_serial *serial, char ret[PKI_SERIAL_TEXT])
{
    pc_hex(serial->octets, serial->len, ret);
}

/* Cuts leading zero octets; false when nothing is left, or what is left does not fit or would read as
 * negative. */
static bool serial_from(const unsigned char *octets, size_t len, struct pki_serial *ret)
{
    while (len > 0 && octets[0] == 0) {
        octets++;
        len--;
    }
    if (len == 0 || len > PKI_SERIAL_MAX || (len == PKI_SERIAL_MAX && octets[0] > 0x7f))
        return false;
    memset(ret, 0, sizeof *ret);
    memcpy(ret->octets, octets, len);
    ret->len = len;
    return true;
}

int pki_serial_parse(const char *hex, struct pki_serial *ret)
{
    char digits[2 * PKI_SERIAL_MAX + 2] = "0"; /* room for one digit that makes their number even */
    unsigned char octets[PKI_SERIAL_MAX + 1];
    size_t count = 1, len;

    for (const char *at = hex; *at != '\0'; at++) {
        bool leading = count == 1 && *at == '0';

        if (*at == ':' || leading)
            continue;
        if (count > 2 * PKI_SERIAL_MAX)
            return pc_fail(PC_EUSAGE, "serial number has more than %d octets (RFC 5280 §4.1.2.2)",
                           PKI_SERIAL_MAX);
        digits[count++] = *at;
    }
    digits[count] = '\0';
    if (pc_unhex(count % 2 ? digits + 1 : digits, octets, sizeof octets, &len) ||
        !serial_from(octets, len, ret))
        return pc_fail(PC_EUSAGE, "'%.64s' is no serial number in hex", hex);
    return 0;
}

int pki_serial_of(const X509 *certificate, struct pki_serial *ret)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);

    if (ASN1_STRING_type(serial) != V_ASN1_INTEGER ||
        !serial_from(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial), ret))
        return pc_refuse("certificate-serial",
                         "serial number is not positive or longer than %d octets (RFC 5280 §4.1.2.2)",
                         PKI_SERIAL_MAX);
    return 0;
}

int pki_validity(int64_t now, int64_t backdate, int64_t days, const X509 *issuer, int64_t *ret_not_before,
                 int64_t *ret_not_after)
{
    int64_t not_before = now - backdate, not_after, issuer_from = INT64_MIN, issuer_until = PC_TIME_MAX;
    char when[PC_TIME_TEXT];
    int rc;

    if (days < 1 || days > DAYS_MAX)
        return pc_fail(PC_EUSAGE, "a validity of %lld days is none", (long long)days);
    if (issuer) {
        rc = pki_certificate_dates(issuer, &issuer_from, &issuer_until);
        if (rc)
            return rc;
    }
    if (now < issuer_from) {
        pc_time_format(issuer_from, when);
        return pc_refuse("issuer-early",
                         "the issuer's certificate begins at %s: this machine's clock is behind", when);
    }
    not_after = not_before + days * PC_DAY - 1;
    if (not_after > issuer_until)
        not_after = issuer_until;
    if (not_after > PC_TIME_MAX)
        not_after = PC_TIME_MAX;
    if (now > issuer_until || not_after <= not_before) {
        pc_time_format(issuer_until, when);
        return pc_refuse("issuer-expired", "the issuer's certificate ended at %s", when);
    }
    *ret_not_before = not_before;
    *ret_not_after = not_after;
    return 0;
}

/* Exactly one DER certificate, its extensions decoded and cached. */
static int parse_der(const unsigned char *der, size_t len, X509 **ret)
{
    const unsigned char *at = der;
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;

    if (len == 0 || len > CERTIFICATE_MAX)
        return pc_refuse("certificate-parse", "certificate of %zu bytes, not 1 to %d", len, CERTIFICATE_MAX);
    certificate = d2i_X509(NULL, &at, (long)len);
    if (!certificate)
        return pc_refuse("certificate-parse", "certificate cannot be parsed (RFC 5280 §4.1)");
    if (at != der + len)
        return pc_refuse("certificate-parse", "%zu bytes behind the certificate", (size_t)(der + len - at));
    if (X509_check_purpose(certificate, -1, 0) != 1)
        return pc_refuse("certificate-parse",
                         "certificate with malformed or repeated extensions (RFC 5280 §4.2)");
    *ret = pc_steal(certificate);
    return 0;
}

static int parse_any(const void *data, size_t len, X509 **ret)
{
    static const char *const labels[] = {"CERTIFICATE", "X509 CERTIFICATE", NULL};
    pc_autobytes der = {0};
    int rc = pki_der_or_pem(data, len, labels, "certificate-parse", &der);

    return rc ? rc : parse_der(der.data, der.len, ret);
}

int pki_certificate_parse(const void *data, size_t len, X509 **ret)
{
    int rc = parse_any(data, len, ret);

    ERR_clear_error(); /* what hostile bytes left there is no news for the next caller */
    return rc;
}

/* Past the header of an element of this tag and class, which ends before `end`; with `whole`, past all of
 * it. False when there is none. */
static bool step(const unsigned char **at, const unsigned char *end, int tag, int class, bool whole)
{
    const unsigned char *next = *at;
    long len;
    int found, of;

    if (next >= end || ASN1_get_object(&next, &len, &found, &of, end - next) & 0x81 || found != tag ||
        of != class)
        return false;
    *at = whole ? next + len : next;
    return true;
}

/* RFC 5280 §4.1: to the subject, which stands behind version, serial, algorithm, issuer and validity. */
static int read_subject(const unsigned char *at, const unsigned char *end, X509_NAME **ret)
{
    static const int before[] = {V_ASN1_INTEGER, V_ASN1_SEQUENCE, V_ASN1_SEQUENCE, V_ASN1_SEQUENCE};
    bool there = step(&at, end, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL, false) &&
                 step(&at, end, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL, false);

    if (there)
        (void)step(&at, end, 0, V_ASN1_CONTEXT_SPECIFIC, true);
    for (size_t i = 0; there && i < sizeof before / sizeof *before; i++)
        there = step(&at, end, before[i], V_ASN1_UNIVERSAL, true);
    *ret = there ? d2i_X509_NAME(NULL, &at, end - at) : NULL;
    return *ret ? 0 : pc_refuse("certificate-parse", "certificate without a subject (RFC 5280 §4.1)");
}

int pki_certificate_cn(const void *der, size_t len, char **ret)
{
    PC_CLEANUP(X509_NAME_free_ref) X509_NAME *subject = NULL;
    const unsigned char *begin = der;
    int rc = len > CERTIFICATE_MAX
                 ? pc_refuse("certificate-parse", "certificate of more than %d bytes", CERTIFICATE_MAX)
                 : read_subject(begin, begin + len, &subject);

    if (rc == 0)
        rc = pki_name_cn(subject, ret);
    ERR_clear_error();
    return rc;
}

int pki_certificate_der(const X509 *certificate, struct pc_bytes *ret)
{
    pki_autoder *der = NULL;
    int len = i2d_X509(certificate, &der);

    if (len <= 0)
        return pc_fail_openssl(PC_EFAIL, "certificate cannot be encoded");
    return pc_bytes_copy(der, (size_t)len, ret);
}

int pki_certificate_der_append_pem(const struct pc_bytes *der, struct pc_bytes *pem)
{
    return pki_pem_append("CERTIFICATE", der->data, der->len, pem);
}

int pki_certificate_append_pem(const X509 *certificate, struct pc_bytes *pem)
{
    pki_autoder *der = NULL;
    int len = i2d_X509(certificate, &der);

    if (len <= 0)
        return pc_fail_openssl(PC_EFAIL, "certificate cannot be encoded");
    return pki_pem_append("CERTIFICATE", der, (size_t)len, pem);
}

int pki_certificate_dates(const X509 *certificate, int64_t *ret_not_before, int64_t *ret_not_after)
{
    int64_t not_before = pki_time_of(X509_get0_notBefore(certificate));
    int64_t not_after = pki_time_of(X509_get0_notAfter(certificate));

    if (not_before == INT64_MIN || not_after == INT64_MIN)
        return pc_refuse("certificate-parse", "certificate with dates that are none (RFC 5280 §4.1.2.5)");
    *ret_not_before = not_before;
    *ret_not_after = not_after;
    return 0;
}
