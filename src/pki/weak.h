/* Weak RSA moduli, known by arithmetic alone: small factors, ROCA's fingerprint, primes that lie too close
 * together. Within src/pki only. */
#ifndef PKI_WEAK_H
#define PKI_WEAK_H

#include <openssl/bn.h>

/* 0, or PC_EREFUSED "key-factor", "key-roca", "key-fermat". `n` is positive and of a size that is allowed. */
int pki_weak_modulus(const BIGNUM *n);

#endif
