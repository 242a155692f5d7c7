/* Weak RSA moduli: trial division, the fingerprint of Infineon's primes, Fermat's factorisation. Nothing
 * secret is computed here, so nothing needs constant time. */
#include "src/pki/weak.h"

#include <stdint.h>
#include <string.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"

#define FACTOR_LIMIT 32768 /* every prime below it is tried */
#define ROCA_LIMIT 167     /* the largest prime that the fingerprint of CVE-2017-15361 looks at */
#define ROCA_GENERATOR 65537
#define FERMAT_ROUNDS 256 /* CA/Browser Forum Baseline Requirements §6.1.1.3 ask for 100 */

/* Sieve of Eratosthenes: composite[i] for every i below FACTOR_LIMIT. */
static void sieve(bool composite[FACTOR_LIMIT])
{
    memset(composite, 0, FACTOR_LIMIT);
    composite[0] = composite[1] = true;
    for (size_t i = 2; i * i < FACTOR_LIMIT; i++) {
        for (size_t k = i * i; !composite[i] && k < FACTOR_LIMIT; k += i)
            composite[k] = true;
    }
}

static int judge_factor(const BIGNUM *n)
{
    bool composite[FACTOR_LIMIT];
    uint32_t primes[16], product = 1;
    size_t count = 0;

    sieve(composite);
    /* One long division serves all primes whose product fits into 32 bits. */
    for (uint32_t next = 2; next <= FACTOR_LIMIT; next++) {
        if (next < FACTOR_LIMIT && composite[next])
            continue;
        if (next == FACTOR_LIMIT || (uint64_t)product * next > UINT32_MAX) {
            BN_ULONG rest = BN_mod_word(n, product);

            for (size_t i = 0; i < count; i++) {
                if (rest % primes[i] == 0)
                    return pc_refuse("key-factor", "RSA modulus is divisible by %u", primes[i]);
            }
            product = 1;
            count = 0;
        }
        product *= next;
        primes[count++] = next;
    }
    return 0;
}

/* Is `rest` a power of 65537 modulo `prime`? */
static bool roca_power(uint32_t rest, uint32_t prime)
{
    uint32_t power = 1;

    do {
        if (power == rest)
            return true;
        power = power * (ROCA_GENERATOR % prime) % prime;
    } while (power != 1);
    return false;
}

/* Infineon's primes are k*M + (65537^a mod M), M the product of the first primes; so is the modulus, modulo
 * each of them (Nemec et al., "The Return of Coppersmith's Attack", 2017, §2.3). About one sound modulus in
 * 2^27 shares the fingerprint. */
static int judge_roca(const BIGNUM *n)
{
    for (uint32_t prime = 3; prime <= ROCA_LIMIT; prime += 2) {
        bool composite = false;

        for (uint32_t i = 3; i * i <= prime; i += 2)
            composite = composite || prime % i == 0;
        if (!composite && !roca_power((uint32_t)BN_mod_word(n, prime), prime))
            return 0;
    }
    return pc_refuse("key-roca", "RSA modulus has the fingerprint of CVE-2017-15361 (ROCA)");
}

/* ret = floor(sqrt(n)), by Newton's method from above. False when out of memory. */
static bool square_root(BIGNUM *ret, const BIGNUM *n, BN_CTX *context)
{
    PC_CLEANUP(BN_free_ref) BIGNUM *next = BN_new();
    bool done = false;

    BN_zero(ret);
    if (!next || BN_set_bit(ret, (BN_num_bits(n) + 1) / 2) != 1)
        return false;
    while (!done) {
        if (!BN_div(next, NULL, n, ret, context) || !BN_add(next, next, ret) || !BN_rshift1(next, next))
            return false;
        done = BN_cmp(next, ret) >= 0;
        if (!done && !BN_copy(ret, next))
            return false;
    }
    return true;
}

static bool is_residue(uint32_t rest, uint32_t modulus)
{
    for (uint32_t i = 0; i <= modulus / 2; i++) {
        if (i * i % modulus == rest)
            return true;
    }
    return false;
}

/* 1: a square, 0: not, -1: out of memory. Nearly every number is settled by its residues. */
static int is_square(const BIGNUM *n, BIGNUM *scratch, BN_CTX *context)
{
    static const uint32_t moduli[] = {63, 65, 11, 17, 19, 23};
    const uint32_t product = 63 * 65 * 11 * 17 * 19 * 23;
    BN_ULONG rest = BN_mod_word(n, product);

    if (!is_residue((uint32_t)BN_mod_word(n, 64), 64))
        return 0;
    for (size_t i = 0; i < sizeof moduli / sizeof moduli[0]; i++) {
        if (!is_residue((uint32_t)(rest % moduli[i]), moduli[i]))
            return 0;
    }
    if (BN_is_zero(n))
        return 1;
    if (!square_root(scratch, n, context) || !BN_sqr(scratch, scratch, context))
        return -1;
    return BN_cmp(scratch, n) == 0;
}

/* n = a² - b² for some a just above sqrt(n) exactly when its two primes lie close together. */
static int judge_fermat(const BIGNUM *n)
{
    PC_CLEANUP(BN_CTX_free_ref) BN_CTX *context = BN_CTX_new();
    PC_CLEANUP(BN_free_ref) BIGNUM *a = BN_new();
    PC_CLEANUP(BN_free_ref) BIGNUM *difference = BN_new(); /* a² - n */
    PC_CLEANUP(BN_free_ref) BIGNUM *step = BN_new();       /* 2a + 1: from one square to the next */
    PC_CLEANUP(BN_free_ref) BIGNUM *scratch = BN_new();

    if (!context || !a || !difference || !step || !scratch || !square_root(a, n, context) ||
        !BN_sqr(difference, a, context))
        return pc_fail(PC_EFAIL, "out of memory");
    if (BN_cmp(difference, n) < 0 && (!BN_add_word(a, 1) || !BN_sqr(difference, a, context)))
        return pc_fail(PC_EFAIL, "out of memory");
    if (!BN_sub(difference, difference, n) || !BN_lshift1(step, a) || !BN_add_word(step, 1))
        return pc_fail(PC_EFAIL, "out of memory");
    for (int round = 1; round <= FERMAT_ROUNDS; round++) {
        int square = is_square(difference, scratch, context);

        if (square < 0)
            return pc_fail(PC_EFAIL, "out of memory");
        if (square)
            return pc_refuse("key-fermat",
                             "RSA primes lie so close that Fermat's method finds them in round %d", round);
        if (!BN_add(difference, difference, step) || !BN_add_word(step, 2))
            return pc_fail(PC_EFAIL, "out of memory");
    }
    return 0;
}

int pki_weak_modulus(const BIGNUM *n)
{
    int rc = judge_roca(n);

    if (!rc)
        rc = judge_factor(n);
    return rc ? rc : judge_fermat(n);
}
