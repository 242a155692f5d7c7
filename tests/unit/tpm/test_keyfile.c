/* Key files: what is written can be read, and everything else is refused under its own name. No TPM. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "provision/tpm/keyfile.h"
#include "src/base/error.h"
#include "tests/data/keys.h"
#include "tests/unit/tpm/material.h"

static EVP_PKEY *rsa, *ec;
static TPM2B_PUBLIC rsa_area, ec_area;

static int make_keys(void **state)
{
    (void)state;
    rsa = data_key(DATA_RSA_2048);
    ec = data_key(DATA_EC_P256);
    material_area(rsa, &rsa_area);
    material_area(ec, &ec_area);
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    data_keys_free();
    return 0;
}

/* The parts of a TSS2 PRIVATE KEY, as DER in hex or as TPM structures; NULL or empty: as it should be, or
 * left out. */
struct blob {
    const char *oid, *auth, *extra, *parent, *private_area, *tail;
    const TPM2B_PUBLIC *area;
    const char *after_area;
};

static void build_blob(const struct blob *blob, struct octets *ret)
{
    struct octets body = {.len = 0}, area = {.len = 0}, private_area = {.len = 0};
    octets_add_hex(&body, blob->oid ? blob->oid : "06066781050a0103");
    octets_add_hex(&body, blob->auth ? blob->auth : "a0030101ff");
    octets_add_hex(&body, blob->extra ? blob->extra : "");
    octets_add_hex(&body, blob->parent ? blob->parent : "02050081000001");
    material_marshal(blob->area ? blob->area : &ec_area, &area);
    octets_add_hex(&area, blob->after_area ? blob->after_area : "");
    octets_add_tlv(&body, 0x04, &area);
    octets_add_hex(&private_area, blob->private_area ? blob->private_area : "0004deadbeef");
    octets_add_tlv(&body, 0x04, &private_area);
    octets_add_hex(&body, blob->tail ? blob->tail : "");
    ret->len = 0;
    octets_add_tlv(ret, 0x30, &body);
}

struct reference {
    const char *version, *handle;
    const TPM2B_PUBLIC *area, *name_of;
};

static void build_reference(const struct reference *reference, struct octets *ret)
{
    struct octets body = {.len = 0}, area = {.len = 0}, name = {.len = 0};
    octets_add_hex(&body, reference->version ? reference->version : "020101");
    octets_add_hex(&body, reference->handle ? reference->handle : "02050081000010");
    material_name(reference->name_of ? reference->name_of : &ec_area, &name);
    octets_add_tlv(&body, 0x04, &name);
    material_marshal(reference->area ? reference->area : &ec_area, &area);
    octets_add_tlv(&body, 0x04, &area);
    ret->len = 0;
    octets_add_tlv(ret, 0x30, &body);
}

static void assert_der_refused(const char *label, const struct octets *der, const char *name)
{
    struct tpm_key *key = NULL;
    pc_error_clear();
    assert_int_equal(tpm_keyfile_parse_der(label, der->data, der->len, &key), PC_EREFUSED);
    assert_string_equal(pc_error_name(), name);
    assert_null(key);
}

static void assert_text_refused(const char *text, size_t len)
{
    struct tpm_key *key = NULL;
    assert_int_equal(tpm_keyfile_parse(text, len, &key), PC_EREFUSED);
    assert_string_equal(pc_error_name(), "keyfile-parse");
    assert_null(key);
}

/* --- what is good --- */

static void check_round(const char *label, const struct octets *der, const EVP_PKEY *public, uint32_t handle,
                        enum pki_key_type type)
{
    pc_autobytes pem = {0}, again = {0};
    octets_pem(der, label, &pem);
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    assert_int_equal(tpm_keyfile_parse(pem.data, pem.len, &key), 0);
    assert_int_equal(tpm_key_handle(key), handle);
    assert_int_equal(tpm_key_type(key), type);
    EVP_PKEY *found = NULL;
    assert_int_equal(tpm_key_public(key, &found), 0);
    assert_int_equal(EVP_PKEY_eq(found, public), 1);
    EVP_PKEY_free(found);
    struct octets name;
    material_name(type == PKI_KEY_RSA_2048 ? &rsa_area : &ec_area, &name);
    assert_int_equal(tpm_key_name(key)->len, name.len);
    assert_memory_equal(tpm_key_name(key)->octets, name.data, name.len);
    assert_int_equal(tpm_keyfile_format(key, &again), 0);
    assert_int_equal(again.len, pem.len);
    assert_memory_equal(again.data, pem.data, pem.len);
}

static void test_round(void **state)
{
    (void)state;
    struct octets der;
    build_blob(&(struct blob){0}, &der);
    check_round(TPM_PEM_BLOB, &der, ec, 0, PKI_KEY_EC_P256);
    build_blob(&(struct blob){.area = &rsa_area, .parent = "020440000001"}, &der);
    check_round(TPM_PEM_BLOB, &der, rsa, 0, PKI_KEY_RSA_2048);
    build_reference(&(struct reference){0}, &der);
    check_round(TPM_PEM_REFERENCE, &der, ec, 0x81000010, PKI_KEY_EC_P256);
    build_reference(&(struct reference){.area = &rsa_area, .name_of = &rsa_area}, &der);
    check_round(TPM_PEM_REFERENCE, &der, rsa, 0x81000010, PKI_KEY_RSA_2048);
}

static void test_short_coordinate(void **state)
{
    (void)state;
    /* A TPM may leave out the leading zero of a coordinate; one key in 256 has one. */
    EVP_PKEY *key = NULL;
    TPM2B_PUBLIC area;
    do {
        EVP_PKEY_free(key);
        key = material_key();
        material_area(key, &area);
    } while (area.publicArea.unique.ecc.y.buffer[0] != 0);
    TPM2B_ECC_PARAMETER *y = &area.publicArea.unique.ecc.y;
    y->size--;
    for (size_t i = 0; i < y->size; i++)
        y->buffer[i] = y->buffer[i + 1];
    struct octets der;
    build_blob(&(struct blob){.area = &area}, &der);
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *parsed = NULL;
    assert_int_equal(tpm_keyfile_parse_der(TPM_PEM_BLOB, der.data, der.len, &parsed), 0);
    EVP_PKEY *found = NULL;
    assert_int_equal(tpm_key_public(parsed, &found), 0);
    assert_int_equal(EVP_PKEY_eq(found, key), 1);
    EVP_PKEY_free(found);
    EVP_PKEY_free(key);
}

static void test_description_is_read(void **state)
{
    (void)state;
    struct octets der;
    build_blob(&(struct blob){.extra = "a4050c036b6579"}, &der);
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    assert_int_equal(tpm_keyfile_parse_der(TPM_PEM_BLOB, der.data, der.len, &key), 0);
}

/* --- the PEM around it --- */

static void test_pem(void **state)
{
    (void)state;
    struct octets der;
    build_reference(&(struct reference){0}, &der);
    pc_autobytes pem = {0};
    octets_pem(&der, TPM_PEM_REFERENCE, &pem);
    const char *text = (const char *)pem.data;
    char room[2 * TPM_KEYFILE_MAX];

    assert_text_refused("", 0);
    assert_text_refused("\n", 1);
    assert_text_refused("-----BEGIN ", 11);
    for (size_t len = 0; len < pem.len - 1; len++)
        assert_text_refused(text, len);
    assert_text_refused(room, (size_t)snprintf(room, sizeof(room), "%s%s", text, text));
    assert_text_refused(room, (size_t)snprintf(room, sizeof(room), "%sx", text));
    assert_text_refused(room, (size_t)snprintf(room, sizeof(room), "x\n%s", text));
    assert_text_refused(text, pem.len + 1); /* the NUL behind it */
    memset(room, '\n', sizeof(room));
    memcpy(room, text, pem.len);
    assert_text_refused(room, TPM_KEYFILE_MAX + 1);
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    assert_int_equal(tpm_keyfile_parse(room, TPM_KEYFILE_MAX, &key), 0);
}

static void test_labels(void **state)
{
    (void)state;
    struct octets blob, reference;
    build_blob(&(struct blob){0}, &blob);
    build_reference(&(struct reference){0}, &reference);
    static const char *const labels[] = {"PRIVATE KEY", "TSS2 KEY BLOB", "PLANTCERT TPM KEY ", ""};
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        assert_der_refused(labels[i], &blob, "keyfile-parse");
        assert_der_refused(labels[i], &reference, "keyfile-parse");
    }
    assert_der_refused(TPM_PEM_REFERENCE, &blob, "keyfile-parse");
    assert_der_refused(TPM_PEM_BLOB, &reference, "keyfile-parse");
    pc_autobytes pem = {0};
    octets_pem(&blob, "EC PRIVATE KEY", &pem);
    assert_text_refused((const char *)pem.data, pem.len);
}

static void test_encrypted_pem(void **state)
{
    (void)state;
    struct octets der;
    build_reference(&(struct reference){0}, &der);
    pc_autobytes pem = {0};
    octets_pem(&der, TPM_PEM_REFERENCE, &pem);
    char room[TPM_KEYFILE_MAX];
    const char *body = strchr((const char *)pem.data, '\n') + 1;
    int len = snprintf(room, sizeof(room), "-----BEGIN %s-----\nProc-Type: 4,ENCRYPTED\n\n%s",
                       TPM_PEM_REFERENCE, body);
    assert_text_refused(room, (size_t)len);
}

/* --- the DER inside --- */

static void test_blob_refusals(void **state)
{
    (void)state;
    TPM2B_PUBLIC restricted = ec_area, no_sign = ec_area, no_user = ec_area, sha1 = ec_area, p521 = ec_area,
                 small = rsa_area, off_curve = ec_area, even = rsa_area, short_modulus = rsa_area,
                 hash_key = ec_area, no_point = ec_area;
    restricted.publicArea.objectAttributes |= TPMA_OBJECT_RESTRICTED;
    no_sign.publicArea.objectAttributes &= ~(TPMA_OBJECT)TPMA_OBJECT_SIGN_ENCRYPT;
    no_user.publicArea.objectAttributes &= ~(TPMA_OBJECT)TPMA_OBJECT_USERWITHAUTH;
    sha1.publicArea.nameAlg = TPM2_ALG_SHA1;
    p521.publicArea.parameters.eccDetail.curveID = TPM2_ECC_NIST_P521;
    small.publicArea.parameters.rsaDetail.keyBits = 1024;
    small.publicArea.unique.rsa.size = 128;
    off_curve.publicArea.unique.ecc.x.buffer[31] ^= 1;
    no_point.publicArea.unique.ecc.x.size = 0;
    even.publicArea.unique.rsa.buffer[255] &= 0xfe;
    short_modulus.publicArea.unique.rsa.size = 255;
    hash_key.publicArea.type = TPM2_ALG_KEYEDHASH;
    hash_key.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
    const struct {
        struct blob blob;
        const char *name;
    } cases[] = {
        {{.oid = "06066781050a0104"}, "keyfile-unsupported"}, /* importable */
        {{.oid = "06066781050a0105"}, "keyfile-unsupported"}, /* sealed data */
        {{.auth = ""}, "keyfile-unsupported"},                /* absent means FALSE: it has an auth value */
        {{.auth = "a003010100"}, "keyfile-unsupported"},
        {{.extra = "a1023000"}, "keyfile-unsupported"},        /* policy */
        {{.extra = "a203040100"}, "keyfile-unsupported"},      /* secret */
        {{.extra = "a3023000"}, "keyfile-unsupported"},        /* authPolicy */
        {{.extra = "a5030101ff"}, "keyfile-unsupported"},      /* rsaParent */
        {{.extra = "a6030101ff"}, "keyfile-parse"},            /* unknown */
        {{.parent = "020440000007"}, "keyfile-unsupported"},   /* the null hierarchy */
        {{.parent = "02044000000c"}, "keyfile-unsupported"},   /* the platform */
        {{.parent = "02050080000000"}, "keyfile-unsupported"}, /* a transient object */
        {{.parent = "02050001000000"}, "keyfile-parse"},       /* not minimal */
        {{.parent = "020481000001"}, "keyfile-parse"},         /* negative */
        {{.parent = "0206010081000001"}, "keyfile-parse"},     /* more than 32 bits */
        {{.parent = "02090100000000000000"
                    "00"},
         "keyfile-parse"}, /* more than 64 */
        {{.private_area = "0000"}, "keyfile-parse"},
        {{.private_area = ""}, "keyfile-parse"},
        {{.private_area = "0004deadbe"}, "keyfile-parse"},
        {{.private_area = "0004deadbeef00"}, "keyfile-parse"},
        {{.private_area = "ffffdeadbeef"}, "keyfile-parse"},
        {{.after_area = "00"}, "keyfile-parse"},
        {{.tail = "0500"}, "keyfile-parse"},
        {{.area = &restricted}, "keyfile-unsupported"},
        {{.area = &no_sign}, "keyfile-unsupported"},
        {{.area = &no_user}, "keyfile-unsupported"},
        {{.area = &sha1}, "keyfile-unsupported"},
        {{.area = &p521}, "keyfile-unsupported"},
        {{.area = &small}, "keyfile-unsupported"},
        {{.area = &hash_key}, "keyfile-unsupported"},
        {{.area = &off_curve}, "keyfile-parse"},
        {{.area = &no_point}, "keyfile-parse"},
        {{.area = &even}, "keyfile-parse"},
        {{.area = &short_modulus}, "keyfile-parse"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct octets der;
        build_blob(&cases[i].blob, &der);
        struct tpm_key *key = NULL;
        int result = tpm_keyfile_parse_der(TPM_PEM_BLOB, der.data, der.len, &key);
        if (result != PC_EREFUSED || strcmp(pc_error_name(), cases[i].name) != 0)
            fail_msg("case %zu: %d, %s (%s), not %s", i, result, pc_error_name(), pc_error_text(),
                     cases[i].name);
    }
}

static void test_reference_refusals(void **state)
{
    (void)state;
    const struct {
        struct reference reference;
        const char *name;
    } cases[] = {
        {{.version = "020100"}, "keyfile-unsupported"}, {{.version = "020102"}, "keyfile-unsupported"},
        {{.version = "0201ff"}, "keyfile-unsupported"}, {{.handle = "02050080000000"}, "keyfile-parse"},
        {{.handle = "020440000001"}, "keyfile-parse"},  {{.handle = "020100"}, "keyfile-parse"},
        {{.handle = "020481000010"}, "keyfile-parse"},  {{.handle = "0206010081000010"}, "keyfile-parse"},
        {{.name_of = &rsa_area}, "keyfile-name"},       {{.area = &rsa_area}, "keyfile-name"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct octets der;
        build_reference(&cases[i].reference, &der);
        assert_der_refused(TPM_PEM_REFERENCE, &der, cases[i].name);
    }
}

/* A file cut short, made longer, or with one bit turned, is refused; only a turned bit in the handle can make
 * another valid file, which then is for that handle and the same key. */
static void test_damage(void **state)
{
    (void)state;
    struct octets der;
    build_reference(&(struct reference){0}, &der);
    for (size_t len = 0; len < der.len; len++) {
        struct octets cut = der;
        cut.len = len;
        assert_der_refused(TPM_PEM_REFERENCE, &cut, "keyfile-parse");
    }
    struct octets longer = der;
    octets_add_hex(&longer, "00");
    assert_der_refused(TPM_PEM_REFERENCE, &longer, "keyfile-parse");
    for (size_t bit = 0; bit < 8 * der.len; bit++) {
        struct octets turned = der;
        turned.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
        int result = tpm_keyfile_parse_der(TPM_PEM_REFERENCE, turned.data, turned.len, &key);
        if (result == 0)
            assert_int_not_equal(tpm_key_handle(key), 0x81000010);
        else
            assert_int_equal(result, PC_EREFUSED);
    }
}

static void test_damaged_blob(void **state)
{
    (void)state;
    struct octets der;
    build_blob(&(struct blob){.area = &rsa_area}, &der);
    for (size_t len = 0; len < der.len; len++) {
        struct octets cut = der;
        cut.len = len;
        assert_der_refused(TPM_PEM_BLOB, &cut, "keyfile-parse");
    }
    struct octets loose = {.len = 0}; /* the same content with a longer length than needed: BER, not DER */
    octets_add_hex(&loose, "3083");
    const unsigned char length[3] = {0, (unsigned char)((der.len - 4) >> 8), (unsigned char)(der.len - 4)};
    octets_add(&loose, length, sizeof(length));
    octets_add(&loose, der.data + 4, der.len - 4);
    assert_der_refused(TPM_PEM_BLOB, &loose, "keyfile-parse");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_short_coordinate),
        cmocka_unit_test(test_description_is_read),
        cmocka_unit_test(test_pem),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_encrypted_pem),
        cmocka_unit_test(test_blob_refusals),
        cmocka_unit_test(test_reference_refusals),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_damaged_blob),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
