/* Making and removing the authority that each test starts with. */
#include "tests/integration/ca/authority.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "src/base/file.h"
#include "src/base/time.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"
#include "src/pki/request.h"

static int give_pin(void *context, const char *label, struct pc_secret **ret)
{
    struct bench *b = context;
    assert_string_equal(label, b->label);
    b->pins++;
    *ret = secret_of(b->pin);
    return 0;
}

int bench_setup(void **state)
{
    static int count;
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    snprintf(b->label, sizeof b->label, "ca-%d", ++count);
    snprintf(b->state, sizeof b->state, "%s/state-%d", fixture_folder(), count);
    snprintf(b->publish, sizeof b->publish, "%s/publish-%d", fixture_folder(), count);
    shim_reset();
    fixture_token(b->label, b->serial);
    b->pin = PIN;
    b->settings = (struct ca_settings){
        .token = {.module = fixture_shim(), .label = b->label},
        .state = b->state,
        .subject = "/C=CZ/ST=Prague/O=CPI IoT Platform/CN=CPI Root CA",
        .days = 3650,
        .key = PKI_KEY_EC_P256,
        .crl_days = 30,
        .audit_interval = PC_DAY,
        .backdate = 300,
        .device_days = 730,
        .renew_window = 60 * PC_DAY,
        .overlap = 14 * PC_DAY,
        .broker_cn = "mqtt.voke.lovinka.com",
        .broker_san = "DNS:localhost, IP:127.0.0.1",
        .broker_days = 730,
        .ledger_url = "sqlite",
        .program = "plantca test",
        .pin = give_pin,
        .pin_context = b,
    };
    *state = b;
    return 0;
}

void bench_init(struct bench *b)
{
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    assert_ok(ca_init(&b->settings, &summary));
    assert_true(summary.made);
    bench_reopen(b);
}

void bench_reopen(struct bench *b)
{
    ca_close(b->ca);
    b->ca = NULL;
    assert_ok(ca_open(&b->settings, &b->ca));
}

int bench_setup_init(void **state)
{
    if (bench_setup(state) != 0)
        return -1;
    bench_init(*state);
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int bench_teardown(void **state)
{
    struct bench *b = *state;
    ca_close(b->ca);
    pc_time_fix(INT64_MIN);
    shim_reset();
    nftw(b->state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    nftw(b->publish, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(b);
    return 0;
}

EVP_PKEY *new_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    return key;
}

struct pc_bytes request_of(EVP_PKEY *key, const char *cn)
{
    struct pc_bytes pem = {0};
    assert_ok(pki_request_build(key, cn, &pem));
    return pem;
}

int sign(struct bench *b, EVP_PKEY *key, const char *uuid, const struct ca_sign_options *options,
         struct ca_issued *ret)
{
    pc_autobytes csr = request_of(key, uuid);
    struct ca_sign_options used = options ? *options : (struct ca_sign_options){.revoke_old = -1};
    used.plant = uuid;
    return ca_sign(b->ca, &csr, &used, ret);
}

void sign_first(struct bench *b, EVP_PKEY *key, const char *uuid, char ret_serial[PKI_SERIAL_TEXT])
{
    struct ca_issued PC_CLEANUP(ca_issued_clear) issued = {0};
    assert_ok(sign(b, key, uuid, NULL, &issued));
    assert_false(issued.already);
    memcpy(ret_serial, issued.record.serial, PKI_SERIAL_TEXT);
}

void in_state(const struct bench *b, const char *name, char ret[192])
{
    snprintf(ret, 192, "%s/%s", b->state, name);
}

int64_t ask(const struct bench *b, const char *sql)
{
    char path[192];
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    in_state(b, "ledger.db", path);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t answer = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return answer;
}

size_t keys_in_token(struct bench *b)
{
    size_t count = 0;
    ca_close(b->ca);
    b->ca = NULL;
    struct hsm_token *token = open_logged_in(b->serial);
    assert_ok(hsm_key_count(token, "plantca-root", &count, NULL));
    hsm_token_close(token);
    return count;
}

static X509_CRL *read_crl(const struct bench *b)
{
    char path[192];
    pc_autobytes file = {0};
    X509_CRL *crl = NULL;
    in_state(b, "ca.crl", path);
    assert_ok(pc_file_read(path, 1 << 20, &file));
    assert_ok(pki_crl_parse(file.data, file.len, &crl));
    return crl;
}

uint64_t crl_number(const struct bench *b)
{
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = read_crl(b);
    uint64_t number = 0;
    assert_ok(pki_crl_number(crl, &number));
    return number;
}

bool crl_lists(const struct bench *b, const char *serial, int *ret_reason)
{
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = read_crl(b);
    PC_CLEANUP(ASN1_INTEGER_free_ref) ASN1_INTEGER *number = NULL;
    PC_CLEANUP(BN_free_ref) BIGNUM *bn = NULL;
    X509_REVOKED *entry = NULL;
    assert_true(BN_hex2bn(&bn, serial) > 0);
    number = BN_to_ASN1_INTEGER(bn, NULL);
    if (X509_CRL_get0_by_serial(crl, &entry, number) != 1)
        return false;
    PC_CLEANUP(ASN1_ENUMERATED_free_ref)
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
    if (ret_reason)
        *ret_reason = reason ? (int)ASN1_ENUMERATED_get(reason) : -1;
    return true;
}
