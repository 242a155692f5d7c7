/* What the unit tests of provision/tpm are made from: DER and TPM structures, put together by hand so that
 * they can be put together wrongly. */
#ifndef TEST_TPM_MATERIAL_H
#define TEST_TPM_MATERIAL_H

#include <openssl/evp.h>

#include <tss2/tss2_tpm2_types.h>

#include "src/base/memory.h"

#define MATERIAL_MAX 8192

struct octets {
    unsigned char data[MATERIAL_MAX];
    size_t len;
};
void octets_add(struct octets *to, const void *data, size_t len);
void octets_add_hex(struct octets *to, const char *hex);
/* tag, minimal length, content */
void octets_add_tlv(struct octets *to, unsigned char tag, const struct octets *content);
/* PEM with that label, or NULL's worth of nothing: freed with pc_bytes_clear */
void octets_pem(const struct octets *der, const char *label, struct pc_bytes *ret);

/* A new P-256 key in software; RSA keys are those of tests/data, which are made once. */
EVP_PKEY *material_key(void);
/* The public area of a device key with that public half. */
void material_area(const EVP_PKEY *key, TPM2B_PUBLIC *ret);
/* TPM2B_PUBLIC on the wire, and the Name (for SHA-256 areas). */
void material_marshal(const TPM2B_PUBLIC *area, struct octets *ret);
void material_name(const TPM2B_PUBLIC *area, struct octets *ret);

#endif
