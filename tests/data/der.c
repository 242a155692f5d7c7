/* Octets for hostile requests. Nothing here checks what it writes: that is the point. */
#include "tests/data/der.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

static void need(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "test data: %s\n", what);
    exit(1);
}

struct pc_bytes der_copy(const void *data, size_t len)
{
    struct pc_bytes copy;

    need(pc_bytes_copy(data, len, &copy) == 0, "out of memory");
    return copy;
}

static void append(struct pc_bytes *to, const void *data, size_t len)
{
    unsigned char *grown = realloc(to->data, to->len + len + 1);

    need(grown != NULL, "out of memory");
    if (len)
        memcpy(grown + to->len, data, len);
    to->data = grown;
    to->len += len;
    grown[to->len] = '\0';
}

struct pc_bytes der_join(const struct pc_bytes *first, ...)
{
    struct pc_bytes joined = {0};
    va_list parts;

    va_start(parts, first);
    for (const struct pc_bytes *part = first; part; part = va_arg(parts, const struct pc_bytes *))
        append(&joined, part->data, part->len);
    va_end(parts);
    return joined;
}

struct pc_bytes der_wrap(unsigned char tag, struct pc_bytes content)
{
    unsigned char head[6] = {tag};
    size_t octets = 0;
    struct pc_bytes element = {0};

    if (content.len < 0x80) {
        head[1] = (unsigned char)content.len;
    } else {
        for (size_t rest = content.len; rest > 0; rest >>= 8)
            octets++;
        head[1] = (unsigned char)(0x80 | octets);
        for (size_t i = 0; i < octets; i++)
            head[2 + i] = (unsigned char)(content.len >> (8 * (octets - 1 - i)));
    }
    append(&element, head, 2 + octets);
    append(&element, content.data, content.len);
    pc_bytes_clear(&content);
    return element;
}

struct pc_bytes der_hex(const char *hex)
{
    char digits[4096];
    unsigned char octets[2048];
    size_t count = 0, len;

    for (; *hex; hex++) {
        if (*hex != ' ')
            digits[count++] = *hex;
    }
    digits[count] = '\0';
    need(pc_unhex(digits, octets, sizeof octets, &len) == 0, "bad hex");
    return der_copy(octets, len);
}

struct pc_bytes der_oid(const char *dotted)
{
    ASN1_OBJECT *object = OBJ_txt2obj(dotted, 1);
    unsigned char *der = NULL;
    int len = i2d_ASN1_OBJECT(object, &der);
    struct pc_bytes copy;

    need(len > 0, dotted);
    copy = der_copy(der, (size_t)len);
    OPENSSL_free(der);
    ASN1_OBJECT_free(object);
    return copy;
}

/* How many octets tag and length take. */
static size_t head_size(const struct pc_bytes *element)
{
    return element->data[1] & 0x80 ? 2 + (size_t)(element->data[1] & 0x7f) : 2;
}

struct pc_bytes der_indefinite(struct pc_bytes element)
{
    size_t head = head_size(&element);
    struct pc_bytes result = {0};

    append(&result, element.data, 1);
    append(&result, "\x80", 1);
    append(&result, element.data + head, element.len - head);
    append(&result, "\0\0", 2);
    pc_bytes_clear(&element);
    return result;
}

struct pc_bytes der_long_length(struct pc_bytes element)
{
    size_t head = head_size(&element), len = element.len - head;
    unsigned char octets[6] = {element.data[0],
                               0x84,
                               (unsigned char)(len >> 24),
                               (unsigned char)(len >> 16),
                               (unsigned char)(len >> 8),
                               (unsigned char)len};
    struct pc_bytes result = {0};

    append(&result, octets, sizeof octets);
    append(&result, element.data + head, len);
    pc_bytes_clear(&element);
    return result;
}

/* Takes both over. */
static struct pc_bytes pair(struct pc_bytes first, struct pc_bytes second)
{
    struct pc_bytes both = der_join(&first, &second, NULL);

    pc_bytes_clear(&first);
    pc_bytes_clear(&second);
    return both;
}

struct pc_bytes der_rdn(const char *dotted, unsigned char tag, const void *value, size_t len)
{
    return der_wrap(0x31, der_wrap(0x30, pair(der_oid(dotted), der_wrap(tag, der_copy(value, len)))));
}

struct pc_bytes der_set_of_two(struct pc_bytes first_rdn, struct pc_bytes second_rdn)
{
    size_t first_head = head_size(&first_rdn), second_head = head_size(&second_rdn);
    struct pc_bytes content = {0};

    append(&content, first_rdn.data + first_head, first_rdn.len - first_head);
    append(&content, second_rdn.data + second_head, second_rdn.len - second_head);
    pc_bytes_clear(&first_rdn);
    pc_bytes_clear(&second_rdn);
    return der_wrap(0x31, content);
}

struct pc_bytes der_attribute(const char *dotted, struct pc_bytes values)
{
    return der_wrap(0x30, pair(der_oid(dotted), der_wrap(0x31, values)));
}

struct pc_bytes der_extension(const char *dotted, bool critical, struct pc_bytes value)
{
    struct pc_bytes head = der_oid(dotted);

    if (critical)
        append(&head, "\x01\x01\xff", 3);
    return der_wrap(0x30, pair(head, der_wrap(0x04, value)));
}

struct pc_bytes der_spki(const EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    struct pc_bytes copy;

    need(len > 0, "public key");
    copy = der_copy(der, (size_t)len);
    OPENSSL_free(der);
    return copy;
}

struct pc_bytes der_request_info(int version, struct pc_bytes name, struct pc_bytes spki,
                                 struct pc_bytes attributes)
{
    unsigned char octet = (unsigned char)version;
    struct pc_bytes number = der_wrap(0x02, der_copy(&octet, 1));

    return der_wrap(0x30, pair(pair(number, name), pair(spki, der_wrap(0xa0, attributes))));
}

/* The AlgorithmIdentifier and the BIT STRING of a signature over `info`. */
static struct pc_bytes signature_of(const struct pc_bytes *info, EVP_PKEY *key, const EVP_MD *digest)
{
    X509_ALGOR *algorithm = X509_ALGOR_new();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char *algorithm_der = NULL, signature[8192];
    size_t len = 0;
    int nid = NID_undef, algorithm_len;
    struct pc_bytes both = {0}, value = {0};

    need(EVP_DigestSignInit(context, NULL, digest, NULL, key) == 1 &&
             EVP_DigestSign(context, NULL, &len, info->data, info->len) == 1 && len <= sizeof signature,
         "signing cannot begin");
    need(EVP_DigestSign(context, signature, &len, info->data, info->len) == 1, "signing");
    if (digest)
        need(OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(digest), EVP_PKEY_get_base_id(key)) == 1,
             "no such algorithm");
    else
        nid = EVP_PKEY_get_base_id(key); /* Ed25519 */
    X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid), EVP_PKEY_is_a(key, "RSA") ? V_ASN1_NULL : V_ASN1_UNDEF,
                    NULL);
    algorithm_len = i2d_X509_ALGOR(algorithm, &algorithm_der);
    need(algorithm_len > 0, "algorithm");
    append(&both, algorithm_der, (size_t)algorithm_len);
    append(&value, "\0", 1);
    append(&value, signature, len);
    OPENSSL_free(algorithm_der);
    X509_ALGOR_free(algorithm);
    EVP_MD_CTX_free(context);
    return pair(both, der_wrap(0x03, value));
}

static struct pc_bytes noise(void)
{
    struct pc_bytes algorithm = der_hex("300d 06092a864886f70d01010b 0500"), bits = {0};

    append(&bits, "\0", 1);
    for (int i = 0; i < 256; i++) {
        unsigned char octet = (unsigned char)(i * 151 + 17);

        append(&bits, &octet, 1);
    }
    return pair(algorithm, der_wrap(0x03, bits));
}

struct pc_bytes der_request(struct pc_bytes info, EVP_PKEY *key, const EVP_MD *digest)
{
    struct pc_bytes signature = key ? signature_of(&info, key, digest) : noise();

    return der_wrap(0x30, pair(info, signature));
}

struct pc_bytes der_pem(const char *label, struct pc_bytes der)
{
    BIO *out = BIO_new(BIO_s_mem());
    const char *text;
    long len;
    struct pc_bytes pem;

    need(out && PEM_write_bio(out, label, "", der.data, (long)der.len) > 0, "PEM");
    len = BIO_get_mem_data(out, &text);
    pem = der_copy(text, (size_t)len);
    BIO_free(out);
    pc_bytes_clear(&der);
    return pem;
}
