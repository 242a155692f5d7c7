/* Kinds of public keys, their fingerprints, and the judgement of a key that asks to be certified. The
 * arithmetic that finds weak RSA moduli lives in weak.c. */
#include "src/pki/key.h"

#include <pthread.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/sha.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"
#include "src/pki/spki.h"
#include "src/pki/weak.h"

#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 4096
#define RSA_MIN_EXPONENT 65537
/* OpenSSL, and so most who will meet the certificate, takes no longer exponent with a modulus past 3072 bits.
 */
#define RSA_MAX_EXPONENT_BITS 64

static const struct key_type {
    const char *name;
    bool rsa;
    int bits;  /* of the modulus, or of the curve's field */
    int curve; /* NID, or NID_undef */
    const EVP_MD *(*digest)(void);
} key_types[] = {
    [PKI_KEY_RSA_2048] = {"rsa:2048", true, 2048, NID_undef, EVP_sha256},
    [PKI_KEY_RSA_3072] = {"rsa:3072", true, 3072, NID_undef, EVP_sha256},
    [PKI_KEY_RSA_4096] = {"rsa:4096", true, 4096, NID_undef, EVP_sha256},
    [PKI_KEY_EC_P256] = {"ec:P-256", false, 256, NID_X9_62_prime256v1, EVP_sha256},
    [PKI_KEY_EC_P384] = {"ec:P-384", false, 384, NID_secp384r1, EVP_sha384},
};
_Static_assert(sizeof key_types / sizeof key_types[0] == PKI_KEY_TYPES, "one row for each kind of key");

int pki_key_type_parse(const char *text, enum pki_key_type *ret)
{
    for (size_t i = 0; i < PKI_KEY_TYPES; i++) {
        if (strcmp(text, key_types[i].name) == 0) {
            *ret = (enum pki_key_type)i;
            return 0;
        }
    }
    return pc_fail(PC_EUSAGE, "key type '%s' is none of rsa:2048, rsa:3072, rsa:4096, ec:P-256, ec:P-384",
                   text);
}

const char *pki_key_type_name(enum pki_key_type type)
{
    return key_types[type].name;
}

const EVP_MD *pki_key_digest(enum pki_key_type type)
{
    return key_types[type].digest();
}

static int key_curve(const EVP_PKEY *key)
{
    char name[80];

    if (EVP_PKEY_get_group_name(key, name, sizeof name, NULL) != 1)
        return NID_undef;
    return OBJ_txt2nid(name);
}

int pki_key_type_of(const EVP_PKEY *key, enum pki_key_type *ret)
{
    bool rsa = EVP_PKEY_is_a(key, "RSA") == 1, ec = EVP_PKEY_is_a(key, "EC") == 1;
    int bits = EVP_PKEY_get_bits(key), curve = ec ? key_curve(key) : NID_undef;

    for (size_t i = 0; i < PKI_KEY_TYPES; i++) {
        if (rsa != key_types[i].rsa || ec == rsa || curve != key_types[i].curve)
            continue;
        if (bits == key_types[i].bits) {
            *ret = (enum pki_key_type)i;
            return 0;
        }
    }
    return pc_refuse("key-type", "a %s key of %d bits is none of RSA 2048, 3072, 4096, EC P-256, P-384",
                     rsa ? "RSA" : (ec ? "EC" : "foreign"), bits);
}

int pki_digest_hex(const void *data, size_t len, char ret[PKI_FINGERPRINT_TEXT])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    if (EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) != 1)
        return pc_fail_openssl(PC_EFAIL, "SHA-256");
    pc_hex(digest, sizeof digest, ret);
    return 0;
}

int pki_key_fingerprint(const EVP_PKEY *key, char ret[PKI_FINGERPRINT_TEXT])
{
    struct pki_spki spki;
    int rc = pki_spki_of(key, &spki);

    return rc ? rc : pki_digest_hex(spki.der, spki.len, ret);
}

int pki_certificate_fingerprint(const X509 *certificate, char ret[PKI_FINGERPRINT_TEXT])
{
    pki_autoder *der = NULL;
    int len = i2d_X509(certificate, &der);

    if (len <= 0)
        return pc_fail_openssl(PC_EFAIL, "certificate cannot be encoded");
    return pki_digest_hex(der, (size_t)len, ret);
}

/* Groups are made once: naming one costs more than looking at a point on it. */
static EC_GROUP *groups[PKI_KEY_TYPES];

static void make_groups(void)
{
    for (size_t i = 0; i < PKI_KEY_TYPES; i++)
        groups[i] = key_types[i].rsa ? NULL : EC_GROUP_new_by_curve_name(key_types[i].curve);
}

static const EC_GROUP *group_of(int curve)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_groups);
    for (size_t i = 0; i < PKI_KEY_TYPES; i++) {
        if (key_types[i].curve == curve)
            return groups[i];
    }
    return NULL;
}

static int judge_ec(const struct pki_spki_parts *spki, int *ret_curve)
{
    int curve;
    const EC_GROUP *group;
    PC_CLEANUP(EC_POINT_free_ref) EC_POINT *point = NULL;

    if (spki->parameter != V_ASN1_OBJECT)
        return pc_refuse("key-parameters",
                         "EC key does not name its curve by an object identifier (RFC 5480 §2.1.1)");
    curve = OBJ_obj2nid(spki->value);
    if (curve != NID_X9_62_prime256v1 && curve != NID_secp384r1) {
        char name[80];

        OBJ_obj2txt(name, sizeof name, spki->value, 0);
        return pc_refuse("key-curve", "EC key on curve %s, neither P-256 nor P-384", name);
    }
    group = group_of(curve);
    point = group ? EC_POINT_new(group) : NULL;
    if (!point)
        return pc_fail_openssl(PC_EFAIL, "EC group");
    if (spki->bits[0] != POINT_CONVERSION_UNCOMPRESSED)
        return pc_refuse("key-point", "EC point is not in uncompressed form (RFC 5480 §2.2)");
    /* Checks the curve's equation (SEC 1 §2.3.4). */
    if (EC_POINT_oct2point(group, point, spki->bits, spki->bits_len, NULL) != 1 ||
        EC_POINT_is_at_infinity(group, point))
        return pc_refuse("key-point", "EC point does not lie on its curve (SEC 1 §3.2.2)");
    *ret_curve = curve;
    return 0;
}

static int judge_exponent(const BIGNUM *e)
{
    pki_autoder *text = NULL;

    if (BN_is_odd(e) && BN_num_bits(e) <= RSA_MAX_EXPONENT_BITS &&
        (BN_num_bits(e) > 17 || BN_get_word(e) >= RSA_MIN_EXPONENT))
        return 0;
    if (BN_num_bits(e) > RSA_MAX_EXPONENT_BITS)
        return pc_refuse("key-exponent", "RSA public exponent has %d bits, more than %d", BN_num_bits(e),
                         RSA_MAX_EXPONENT_BITS);
    text = (unsigned char *)BN_bn2dec(e);
    return pc_refuse("key-exponent", "RSA public exponent %s is not odd and at least %d (FIPS 186-5 §5.4)",
                     text ? (const char *)text : "?", RSA_MIN_EXPONENT);
}

static int judge_rsa(const struct pki_spki_parts *spki, const BIGNUM *n, const BIGNUM *e)
{
    int bits = BN_num_bits(n), rc;

    if (spki->parameter != V_ASN1_NULL)
        return pc_refuse("key-parameters", "RSA key with parameters other than NULL (RFC 3279 §2.3.1)");
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
        return pc_refuse("key-size", "RSA modulus of %d bits, not %d to %d", bits, RSA_MIN_BITS,
                         RSA_MAX_BITS);
    rc = judge_exponent(e);
    return rc ? rc : pki_weak_modulus(n);
}

static int read_rsa(const struct pki_spki_parts *parts, const unsigned char *spki, size_t len, EVP_PKEY **ret)
{
    PC_CLEANUP(BN_free_ref) BIGNUM *n = NULL;
    PC_CLEANUP(BN_free_ref) BIGNUM *e = NULL;
    int rc = pki_spki_rsa(parts, &n, &e);

    if (!rc)
        rc = judge_rsa(parts, n, e);
    return rc ? rc : pki_spki_rsa_key(n, e, spki, len, ret);
}

static int read_ec(const struct pki_spki_parts *parts, const unsigned char *spki, size_t len, EVP_PKEY **ret)
{
    int curve = NID_undef, rc = judge_ec(parts, &curve);

    return rc ? rc : pki_spki_ec_key(curve, parts, spki, len, ret);
}

static int judge(const unsigned char *spki, size_t spki_len, EVP_PKEY **ret)
{
    struct pki_spki_parts parts;
    PC_CLEANUP(X509_PUBKEY_free_ref) X509_PUBKEY *owner = NULL;
    int rc = pki_spki_open(spki, spki_len, &owner, &parts), algorithm;

    if (rc)
        return rc;
    algorithm = OBJ_obj2nid(parts.algorithm);
    if (algorithm == NID_rsaEncryption)
        return read_rsa(&parts, spki, spki_len, ret);
    if (algorithm == NID_X9_62_id_ecPublicKey)
        return read_ec(&parts, spki, spki_len, ret);
    return pc_refuse("key-type", "key algorithm %s, neither RSA nor EC", OBJ_nid2ln(algorithm));
}

int pki_key_judge(const unsigned char *spki, size_t spki_len, EVP_PKEY **ret)
{
    int rc = judge(spki, spki_len, ret);

    ERR_clear_error(); /* what a hostile key left there is no news for the next caller */
    return rc;
}
