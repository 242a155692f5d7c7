/* Bridges to libcrypto's ASN.1: times in 64 bits, PEM framing, and a check that bytes are DER and not merely
 * BER. */
#include "src/pki/asn1.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/certificate.h"
#include "src/pki/openssl.h"

#define DEPTH_MAX 32
#define TIME_TEXT 32

static int time_text(int64_t seconds, char ret[TIME_TEXT])
{
    struct pc_civil civil;

    if (seconds < 0 || seconds > PC_TIME_MAX)
        return pc_fail(PC_EFAIL, "time %lld lies outside 1970 to 9999", (long long)seconds);
    pc_time_to_civil(seconds, &civil);
    snprintf(ret, TIME_TEXT, "%04d%02d%02d%02d%02d%02dZ", (int)civil.year, civil.month, civil.day, civil.hour,
             civil.minute, civil.second);
    return 0;
}

int pki_asn1_generalized_time(int64_t seconds, ASN1_GENERALIZEDTIME **ret)
{
    char text[TIME_TEXT];
    PC_CLEANUP(ASN1_GENERALIZEDTIME_free_ref) ASN1_GENERALIZEDTIME *time = ASN1_GENERALIZEDTIME_new();
    int rc = time_text(seconds, text);

    if (rc)
        return rc;
    if (!time || ASN1_GENERALIZEDTIME_set_string(time, text) != 1)
        return pc_fail_openssl(PC_EFAIL, "time %s", text);
    *ret = pc_steal(time);
    return 0;
}

int pki_asn1_time(int64_t seconds, ASN1_TIME **ret)
{
    char text[TIME_TEXT];
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *time = ASN1_TIME_new();
    int rc = time_text(seconds, text);

    if (rc)
        return rc;
    /* The _X509 form chooses between UTCTime and GeneralizedTime. */
    if (!time || ASN1_TIME_set_string_X509(time, text) != 1)
        return pc_fail_openssl(PC_EFAIL, "time %s", text);
    *ret = pc_steal(time);
    return 0;
}

int64_t pki_time_of(const ASN1_TIME *time)
{
    struct tm tm;
    struct pc_civil civil;

    if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
        return INT64_MIN;
    civil = (struct pc_civil){.year = (int64_t)tm.tm_year + 1900,
                              .month = tm.tm_mon + 1,
                              .day = tm.tm_mday,
                              .hour = tm.tm_hour,
                              .minute = tm.tm_min,
                              .second = tm.tm_sec};
    return pc_time_from_civil(&civil);
}

bool pki_asn1_time_is_strict(const ASN1_TIME *time)
{
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *same = NULL;
    int64_t seconds = pki_time_of(time);

    if (seconds == INT64_MIN || pki_asn1_time(seconds, &same))
        return false;
    return ASN1_STRING_type(time) == ASN1_STRING_type(same) && ASN1_STRING_cmp(time, same) == 0;
}

static bool only_blanks(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!strchr(" \t\r\n", data[i]) || data[i] == '\0')
            return false;
    }
    return true;
}

static bool label_in(const char *label, const char *const labels[])
{
    for (size_t i = 0; labels[i]; i++) {
        if (strcmp(label, labels[i]) == 0)
            return true;
    }
    return false;
}

int pki_pem_single(const void *data, size_t len, const char *const labels[], bool text_around,
                   struct pc_bytes *ret_der, bool *ret_behind)
{
    const char *begin = memmem(data, len, "-----BEGIN ", 11), *rest;
    long der_len, rest_len;
    pki_autoder *label = NULL;
    pki_autoder *header = NULL;
    pki_autoder *der = NULL;
    PC_CLEANUP(BIO_free_all_ref) BIO *in = NULL;

    *ret_behind = false;
    if (len > INT_MAX || !begin)
        return pc_fail(PC_EFAIL, "no PEM block");
    if (!text_around && !only_blanks(data, (size_t)(begin - (const char *)data)))
        return pc_fail(PC_EFAIL, "text before the PEM block");
    in = BIO_new_mem_buf(data, (int)len);
    if (!in || PEM_read_bio(in, (char **)&label, (char **)&header, &der, &der_len) != 1)
        return pc_fail_openssl(PC_EFAIL, "PEM block cannot be read (RFC 7468 §3)");
    if (!label_in((const char *)label, labels))
        return pc_fail(PC_EFAIL, "PEM block is labelled '%.64s', not '%s'", (const char *)label, labels[0]);
    if (header[0] != '\0')
        return pc_fail(PC_EFAIL, "PEM block with headers (RFC 7468 §2)");
    rest_len = BIO_get_mem_data(in, &rest);
    *ret_behind = true;
    if (rest_len > 0 && memmem(rest, (size_t)rest_len, "-----BEGIN ", 11))
        return pc_fail(PC_EFAIL, "more than one PEM block");
    if (rest_len > 0 && !text_around && !only_blanks(rest, (size_t)rest_len))
        return pc_fail(PC_EFAIL, "text behind the PEM block");
    *ret_behind = false;
    return pc_bytes_copy(der, (size_t)der_len, ret_der);
}

int pki_der_or_pem(const void *data, size_t len, const char *const labels[], const char *refusal,
                   struct pc_bytes *ret_der)
{
    const unsigned char *bytes = data;
    bool behind;

    if (len > 0 && bytes[0] == (V_ASN1_CONSTRUCTED | V_ASN1_SEQUENCE))
        return pc_bytes_copy(data, len, ret_der);
    if (pki_pem_single(data, len, labels, true, ret_der, &behind))
        return pc_refuse(refusal, "%s", pc_error_text());
    return 0;
}

int pki_pem_append(const char *label, const unsigned char *der, size_t len, struct pc_bytes *pem)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *out = BIO_new(BIO_s_mem());
    struct pc_bytes joined;
    const char *text;
    long text_len;
    int rc;

    if (!out || len > LONG_MAX || pem->len > INT_MAX ||
        (pem->len > 0 && BIO_write(out, pem->data, (int)pem->len) <= 0) ||
        PEM_write_bio(out, label, "", der, (long)len) <= 0)
        return pc_fail_openssl(PC_EFAIL, "PEM encoding");
    text_len = BIO_get_mem_data(out, &text);
    rc = pc_bytes_copy(text, (size_t)text_len, &joined);
    if (rc)
        return rc;
    pc_bytes_clear(pem);
    *pem = joined;
    return 0;
}

/* Content rules of the primitive universal types that DER narrows. */
static bool strict_primitive(int tag, const unsigned char *data, long len)
{
    switch (tag) {
    case V_ASN1_BOOLEAN:
        return len == 1 && (data[0] == 0x00 || data[0] == 0xff);
    case V_ASN1_INTEGER:
    case V_ASN1_ENUMERATED:
        return len == 1 ||
               (len > 1 && !(data[0] == 0x00 && !(data[1] & 0x80)) && !(data[0] == 0xff && (data[1] & 0x80)));
    case V_ASN1_NULL:
        return len == 0;
    case V_ASN1_BIT_STRING:
        return len >= 1 && data[0] <= 7 && (len > 1 || data[0] == 0) &&
               (data[len - 1] & ((1 << data[0]) - 1)) == 0;
    case V_ASN1_SEQUENCE:
    case V_ASN1_SET:
        return false; /* constructed by definition */
    default:
        return true;
    }
}

/* One element at *at; moves behind it. */
static bool strict_element(const unsigned char **at, const unsigned char *end, int depth)
{
    const unsigned char *start = *at, *stop;
    long len;
    int tag, class, flags;

    if (depth > DEPTH_MAX || end - start < 2)
        return false;
    flags = ASN1_get_object(at, &len, &tag, &class, end - start);
    if (flags & 0x81) /* broken, or of indefinite length */
        return false;
    stop = *at + len;
    /* Tag and length in their shortest form are as long as OpenSSL would write them. */
    if (ASN1_object_size(flags & V_ASN1_CONSTRUCTED ? 1 : 0, (int)len, tag) != stop - start)
        return false;
    if (!(flags & V_ASN1_CONSTRUCTED)) {
        bool fine = class != V_ASN1_UNIVERSAL || strict_primitive(tag, *at, len);

        *at = stop;
        return fine;
    }
    if (class == V_ASN1_UNIVERSAL && tag != V_ASN1_SEQUENCE && tag != V_ASN1_SET)
        return false;
    while (*at < stop) {
        if (!strict_element(at, stop, depth + 1))
            return false;
    }
    return true;
}

bool pki_der_is_strict(const unsigned char *data, size_t len)
{
    const unsigned char *at = data;

    return len <= INT_MAX && strict_element(&at, data + len, 0) && at == data + len;
}

int pki_key_public(const EVP_PKEY *key, EVP_PKEY **ret)
{
    pki_autoder *der = NULL;
    const unsigned char *at;
    int len = i2d_PUBKEY(key, &der);
    EVP_PKEY *plain;

    at = der;
    if (len <= 0 || !(plain = d2i_PUBKEY(NULL, &at, len)))
        return pc_fail_openssl(PC_EFAIL, "public key cannot be encoded");
    *ret = plain;
    return 0;
}
