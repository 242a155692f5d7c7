/* An authority for tests: a token and a state folder of its own, with settings that a test may change before
 * it calls. */
#ifndef TESTS_INTEGRATION_CA_BENCH_H
#define TESTS_INTEGRATION_CA_BENCH_H

#include "src/ca/authority.h"
#include "src/ca/issue.h"
#include "src/ca/ledger.h"
#include "src/ca/list.h"
#include "src/ca/publish.h"
#include "src/ca/revoke.h"
#include "tests/integration/hsm/fixture.h"

#define UUID_A "a1b2c3d4-0000-0000-0000-000000000001"
#define UUID_B "a1b2c3d4-0000-0000-0000-000000000002"

struct bench {
    struct ca_settings settings;
    char label[32], serial[17], state[128], publish[128];
    const char *pin; /* what the settings' callback gives */
    int pins;        /* how often it was asked */
    struct ca *ca;   /* open after bench_init */
};

int bench_setup(void **state);      /* a token, no CA */
int bench_setup_init(void **state); /* with a CA, open */
int bench_teardown(void **state);
void bench_init(struct bench *b);
void bench_reopen(struct bench *b);

EVP_PKEY *new_key(void);
/* PEM, owned. */
struct pc_bytes request_of(EVP_PKEY *key, const char *cn);
/* ca_sign with a request made of `key`; NULL options: none. */
int sign(struct bench *b, EVP_PKEY *key, const char *uuid, const struct ca_sign_options *options,
         struct ca_issued *ret);
/* The serial of a first certificate for this plant; must succeed. */
void sign_first(struct bench *b, EVP_PKEY *key, const char *uuid, char ret_serial[PKI_SERIAL_TEXT]);
/* One number from the ledger's file. */
int64_t ask(const struct bench *b, const char *sql);
size_t keys_in_token(struct bench *b);
/* The CRL in the state folder: number, and whether it lists the serial (reason in *ret_reason, -1: none
 * stated). */
uint64_t crl_number(const struct bench *b);
bool crl_lists(const struct bench *b, const char *serial, int *ret_reason);
void in_state(const struct bench *b, const char *name, char ret[192]);

#endif
