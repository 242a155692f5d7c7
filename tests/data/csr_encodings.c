/* Encodings of keys, and what is done to a finished request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "tests/data/csr_parts.h"
#include "tests/data/der.h"
#include "tests/data/keys.h"

#define MODULUS_OCTETS 256
enum { SEQUENCE = 0x30, INTEGER = 0x02, BITS = 0x03 };

#define RSA_IDENTIFIER "300d06092a864886f70d0101010500"

static struct pc_bytes two(struct pc_bytes first, struct pc_bytes second)
{
    struct pc_bytes both = der_join(&first, &second, NULL);

    pc_bytes_clear(&first);
    pc_bytes_clear(&second);
    return both;
}

/* SubjectPublicKeyInfo from an AlgorithmIdentifier in hex and the key's octets. */
static struct pc_bytes spki_of(const char *identifier, struct pc_bytes key)
{
    struct pc_bytes unused = der_hex("00");

    return der_wrap(SEQUENCE, two(der_hex(identifier), der_wrap(BITS, two(unused, key))));
}

/* RSAPublicKey of `modulus` (with its leading zero octet) and an exponent in hex. */
static struct pc_bytes rsa_spki(struct pc_bytes modulus, const char *exponent)
{
    struct pc_bytes numbers = two(der_wrap(INTEGER, modulus), der_wrap(INTEGER, der_hex(exponent)));

    return spki_of(RSA_IDENTIFIER, der_wrap(SEQUENCE, numbers));
}

/* The octets inside the subjectPublicKey. */
static struct pc_bytes key_octets(struct pc_bytes spki)
{
    const unsigned char *at = spki.data, *octets;
    X509_PUBKEY *key = d2i_X509_PUBKEY(NULL, &at, (long)spki.len);
    int len = 0;
    struct pc_bytes copy;

    X509_PUBKEY_get0_param(NULL, &octets, &len, NULL, key);
    copy = der_copy(octets, (size_t)len);
    X509_PUBKEY_free(key);
    pc_bytes_clear(&spki);
    return copy;
}

/* The modulus of a 2048-bit key with its leading zero octet: it stands behind two headers of four octets. */
static struct pc_bytes modulus_of(struct pc_bytes spki)
{
    struct pc_bytes octets = key_octets(spki), modulus = der_copy(octets.data + 8, MODULUS_OCTETS + 1);

    pc_bytes_clear(&octets);
    return modulus;
}

struct pc_bytes spki_rsa_no_parameters(const struct csr_context *context, struct pc_bytes spki)
{
    (void)context;
    return spki_of("300b06092a864886f70d010101", key_octets(spki));
}

struct pc_bytes spki_rsa_even_exponent(const struct csr_context *context, struct pc_bytes spki)
{
    (void)context;
    return rsa_spki(modulus_of(spki), "010002");
}

struct pc_bytes spki_rsa_exponent_one(const struct csr_context *context, struct pc_bytes spki)
{
    (void)context;
    return rsa_spki(modulus_of(spki), "01");
}

struct pc_bytes spki_rsa_even_modulus(const struct csr_context *context, struct pc_bytes spki)
{
    struct pc_bytes modulus = modulus_of(spki);

    (void)context;
    modulus.data[MODULUS_OCTETS] &= 0xfe;
    return rsa_spki(modulus, "010001");
}

/* Without the zero octet in front the INTEGER is negative; OpenSSL reads it as positive all the same. */
struct pc_bytes spki_rsa_negative_modulus(const struct csr_context *context, struct pc_bytes spki)
{
    struct pc_bytes modulus = modulus_of(spki), negative = der_copy(modulus.data + 1, MODULUS_OCTETS);

    (void)context;
    pc_bytes_clear(&modulus);
    return rsa_spki(negative, "010001");
}

struct pc_bytes spki_rsa_broken(const struct csr_context *context, struct pc_bytes spki)
{
    (void)context;
    pc_bytes_clear(&spki);
    return spki_of(RSA_IDENTIFIER, der_hex("3003020101"));
}

struct pc_bytes spki_ec_off_curve(const struct csr_context *context, struct pc_bytes spki)
{
    (void)context;
    spki.data[spki.len - 1] ^= 0x01;
    return spki;
}

#define P256_IDENTIFIER "301306072a8648ce3d020106082a8648ce3d030107"

struct pc_bytes spki_ec_infinity(const struct csr_context *context, struct pc_bytes spki)
{
    (void)context;
    pc_bytes_clear(&spki);
    return spki_of(P256_IDENTIFIER, der_hex("00"));
}

struct pc_bytes spki_ec_hybrid(const struct csr_context *context, struct pc_bytes spki)
{
    struct pc_bytes point = key_octets(spki);

    (void)context;
    point.data[0] = (unsigned char)(0x06 | (point.data[point.len - 1] & 0x01));
    return spki_of(P256_IDENTIFIER, point);
}

struct pc_bytes spki_ec_no_curve(const struct csr_context *context, struct pc_bytes spki)
{
    (void)context;
    return spki_of("300906072a8648ce3d0201", key_octets(spki));
}

struct pc_bytes spki_ec_implicit_curve(const struct csr_context *context, struct pc_bytes spki)
{
    (void)context;
    return spki_of("300b06072a8648ce3d02010500", key_octets(spki));
}

struct pc_bytes spki_issuer(const struct csr_context *context, struct pc_bytes spki)
{
    pc_bytes_clear(&spki);
    return der_spki(context->issuer_key);
}

struct pc_bytes finish_pem(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    return der_pem("CERTIFICATE REQUEST", request);
}

struct pc_bytes finish_pem_new(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    return der_pem("NEW CERTIFICATE REQUEST", request);
}

static struct pc_bytes around(const char *before, struct pc_bytes pem, const void *after, size_t after_len)
{
    return two(two(der_copy(before, strlen(before)), pem), der_copy(after, after_len));
}

struct pc_bytes finish_pem_blanks(const struct csr_context *context, struct pc_bytes request)
{
    return around("\n \r\n\t\n", finish_pem(context, request), " \n\r\n\t", 5);
}

struct pc_bytes finish_der(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    return request;
}

struct pc_bytes finish_pem_carriage_returns(const struct csr_context *context, struct pc_bytes request)
{
    struct pc_bytes pem = finish_pem(context, request), lines = {0};

    for (char *line = strtok((char *)pem.data, "\n"); line; line = strtok(NULL, "\n"))
        lines = two(lines, around(line, (struct pc_bytes){0}, "\r\n", 2));
    pc_bytes_clear(&pem);
    return lines;
}

struct pc_bytes finish_bad_signature(const struct csr_context *context, struct pc_bytes request)
{
    request.data[request.len - 1] ^= 0x01;
    return finish_pem(context, request);
}

/* The first digit of the CN, after signing. */
struct pc_bytes finish_changed_name(const struct csr_context *context, struct pc_bytes request)
{
    unsigned char *at = memmem(request.data, request.len, context->plant, 36);

    at[0] = at[0] == '0' ? '1' : '0';
    return finish_pem(context, request);
}

/* The CertificationRequestInfo alone; takes `request` over. */
static struct pc_bytes info_of(struct pc_bytes request)
{
    const unsigned char *at = request.data, *start;
    long len;
    int tag, class;
    struct pc_bytes info;

    ASN1_get_object(&at, &len, &tag, &class, (long)request.len);
    start = at;
    ASN1_get_object(&at, &len, &tag, &class, (long)request.len);
    info = der_copy(start, (size_t)(at - start) + (size_t)len);
    pc_bytes_clear(&request);
    return info;
}

/* RSASSA-PSS over good content: sound in itself, but not one of the algorithms that are taken. */
struct pc_bytes finish_pss(const struct csr_context *context, struct pc_bytes request)
{
    const unsigned char *at = request.data;
    X509_REQ *object = d2i_X509_REQ(NULL, &at, (long)request.len);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key;
    unsigned char *der = NULL;
    int len = 0;

    if (EVP_DigestSignInit(digest, &key, EVP_sha256(), NULL, data_key(DATA_RSA_2048)) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(key, RSA_PKCS1_PSS_PADDING) == 1 &&
        X509_REQ_sign_ctx(object, digest) > 0)
        len = i2d_X509_REQ(object, &der);
    pc_bytes_clear(&request);
    request = der_copy(der, (size_t)len);
    OPENSSL_free(der);
    EVP_MD_CTX_free(digest);
    X509_REQ_free(object);
    return finish_pem(context, request);
}

/* ecdsa-with-SHA256 with other parameters than none; the signature stays good. Takes `request` over. */
static struct pc_bytes with_algorithm(struct pc_bytes request, const char *identifier)
{
    struct pc_bytes tail = der_copy(request.data, request.len), info = info_of(request), old, head, signature;
    const char *plain = "300a06082a8648ce3d040302";

    old = der_hex(plain);
    head = der_hex(identifier);
    {
        unsigned char *at = memmem(tail.data, tail.len, old.data, old.len);

        signature = der_copy(at + old.len, (size_t)(tail.data + tail.len - at) - old.len);
    }
    pc_bytes_clear(&tail);
    pc_bytes_clear(&old);
    return der_wrap(SEQUENCE, two(info, two(head, signature)));
}

struct pc_bytes finish_null_parameters(const struct csr_context *context, struct pc_bytes request)
{
    return finish_pem(context, with_algorithm(request, "300c06082a8648ce3d0403020500"));
}

struct pc_bytes finish_stray_parameters(const struct csr_context *context, struct pc_bytes request)
{
    return finish_pem(context, with_algorithm(request, "300d06082a8648ce3d040302020100"));
}

struct pc_bytes finish_trailing(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    return two(request, der_hex("00"));
}

struct pc_bytes finish_truncated(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    request.len -= 10;
    return request;
}

struct pc_bytes finish_pem_truncated(const struct csr_context *context, struct pc_bytes request)
{
    struct pc_bytes pem = finish_pem(context, request);

    pem.len -= 60;
    return pem;
}

struct pc_bytes finish_two_blocks(const struct csr_context *context, struct pc_bytes request)
{
    struct pc_bytes pem = finish_pem(context, request), same = der_copy(pem.data, pem.len);

    return two(pem, same);
}

struct pc_bytes finish_two_ders(const struct csr_context *context, struct pc_bytes request)
{
    struct pc_bytes same = der_copy(request.data, request.len);

    (void)context;
    return two(request, same);
}

struct pc_bytes finish_text_before(const struct csr_context *context, struct pc_bytes request)
{
    return around("Certificate Request:\n", finish_pem(context, request), "", 0);
}

struct pc_bytes finish_text_after(const struct csr_context *context, struct pc_bytes request)
{
    return around("", finish_pem(context, request), "garbage\n", 8);
}

struct pc_bytes finish_nul_after(const struct csr_context *context, struct pc_bytes request)
{
    return around("", finish_pem(context, request), "\0garbage", 8);
}

struct pc_bytes finish_wrong_label(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    return der_pem("CERTIFICATE", request);
}

struct pc_bytes finish_pem_headers(const struct csr_context *context, struct pc_bytes request)
{
    struct pc_bytes pem = finish_pem(context, request), body;
    char *line = strchr((char *)pem.data, '\n') + 1;

    body = der_copy(line, strlen(line));
    *line = '\0';
    body = two(around((char *)pem.data, (struct pc_bytes){0}, "X-Note: evil\n\n", 14), body);
    pc_bytes_clear(&pem);
    return body;
}

/* A good request, followed by so many blanks that the file is too long. */
struct pc_bytes finish_over_size(const struct csr_context *context, struct pc_bytes request)
{
    char blanks[65537];

    memset(blanks, '\n', sizeof blanks);
    return around("", finish_pem(context, request), blanks, sizeof blanks);
}

struct pc_bytes finish_nothing(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    pc_bytes_clear(&request);
    return der_copy("", 0);
}

struct pc_bytes finish_no_request(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    pc_bytes_clear(&request);
    return der_hex("3003020100");
}

struct pc_bytes finish_indefinite(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    return der_indefinite(request);
}

struct pc_bytes finish_long_length(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    return der_long_length(request);
}

struct pc_bytes finish_one_octet(const struct csr_context *context, struct pc_bytes request)
{
    (void)context;
    request.len = 1;
    return request;
}

/* SEQUENCE { info, algorithm, signature, NULL } */
struct pc_bytes finish_fourth_element(const struct csr_context *context, struct pc_bytes request)
{
    struct pc_bytes content = der_copy(request.data + 4, request.len - 4);

    pc_bytes_clear(&request);
    return finish_pem(context, der_wrap(SEQUENCE, two(content, der_hex("0500"))));
}
