/* Weak RSA moduli: trial division, the fingerprint of Infineon's primes, Fermat's factorisation. Nothing
 * secret is computed here, so nothing needs constant time. */
#include "src/pki/weak.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"

#define FACTOR_LIMIT 32768 /* every prime below it is tried */
#define WORDS_MAX 256      /* of 64 bits, in a modulus */
#define ROCA_LIMIT 167     /* the largest prime that the fingerprint of CVE-2017-15361 looks at */
#define ROCA_GENERATOR 65537
#define FERMAT_ROUNDS 256 /* CA/Browser Forum Baseline Requirements §6.1.1.3 ask for 100 */

/* Odd primes in groups whose product fits into 64 bits: one pass over the modulus serves a whole group. Made
 * once, for the life of the process. */
#define GROUPS_MAX 1024
static struct group {
    uint64_t product;
    uint64_t inverse; /* of the product, modulo 2^64 */
    uint16_t primes[24];
    size_t count;
} groups[GROUPS_MAX];
static size_t group_count;

/* Newton's method: each round doubles the bits that are right; the first three are. */
static uint64_t inverse_of(uint64_t odd)
{
    uint64_t inverse = odd;

    for (int round = 0; round < 5; round++)
        inverse *= 2 - odd * inverse;
    return inverse;
}

static void make_groups(void)
{
    static bool composite[FACTOR_LIMIT]; /* sieve of Eratosthenes */
    struct group *group = &groups[0];

    group->product = 1;
    for (uint32_t next = 3; next < FACTOR_LIMIT; next += 2) {
        if (composite[next])
            continue;
        for (uint32_t k = next * next; next < 182 && k < FACTOR_LIMIT; k += next)
            composite[k] = true;
        if (group->product > UINT64_MAX / next || group->count == sizeof group->primes / sizeof(uint16_t)) {
            group->inverse = inverse_of(group->product);
            group++;
            group->product = 1;
        }
        group->product *= next;
        group->primes[group->count++] = (uint16_t)next;
    }
    group->inverse = inverse_of(group->product);
    group_count = (size_t)(group - groups) + 1;
}

/* The upper half of a product. */
static uint64_t multiply_high(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)a * b >> 64);
#else
    uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX), left = (a >> 32) * (b & UINT32_MAX),
             right = (a & UINT32_MAX) * (b >> 32);
    uint64_t middle = (low >> 32) + (left & UINT32_MAX) + (right & UINT32_MAX);
    return (a >> 32) * (b >> 32) + (left >> 32) + (right >> 32) + (middle >> 32);
#endif
}

/* Exact division from the low end (Jebelean 1993): what is left over is the number times a power of two,
 * modulo the group's product, so that the same odd primes divide it. No division is made. */
static uint64_t left_over(const uint64_t *words, size_t count, const struct group *group)
{
    uint64_t borrow = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t below = words[i] < borrow, digit = (words[i] - borrow) * group->inverse;

        borrow = multiply_high(digit, group->product) + below;
    }
    return borrow;
}

static int judge_factor(const BIGNUM *n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint64_t words[WORDS_MAX];
    unsigned char octets[sizeof words];
    size_t count = ((size_t)BN_num_bytes(n) + 7) / 8;

    pthread_once(&once, make_groups);
    if (count > WORDS_MAX || BN_bn2lebinpad(n, octets, (int)(8 * count)) < 0)
        return pc_refuse("key-size", "RSA modulus of %d bits", BN_num_bits(n));
    for (size_t i = 0; i < count; i++) {
        words[i] = 0;
        for (size_t k = 8; k-- > 0;)
            words[i] = words[i] << 8 | octets[8 * i + k];
    }
    if (!BN_is_odd(n))
        return pc_refuse("key-factor", "RSA modulus is divisible by 2");
    for (size_t g = 0; g < group_count; g++) {
        uint64_t rest = left_over(words, count, &groups[g]);

        for (size_t i = 0; i < groups[g].count; i++) {
            if (rest % groups[g].primes[i] == 0)
                return pc_refuse("key-factor", "RSA modulus is divisible by %u", groups[g].primes[i]);
        }
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

/* A square leaves a square modulo each of these; of all numbers, about one in 10,000 does. */
static const uint32_t moduli[] = {64, 63, 65, 11, 17, 19, 23, 31};
#define MODULI (sizeof moduli / sizeof moduli[0])
static uint64_t squares[MODULI][2]; /* bit k of row i: k is a square modulo moduli[i] */

static void make_squares(void)
{
    for (size_t i = 0; i < MODULI; i++) {
        for (uint32_t k = 0; k < moduli[i]; k++) {
            uint32_t square = k * k % moduli[i];

            squares[i][square / 64] |= UINT64_C(1) << square % 64;
        }
    }
}

/* What a round of Fermat's method needs of a² - n and of 2a + 1, modulo each of the moduli. */
struct residues {
    uint32_t difference[MODULI], step[MODULI];
};

static void residues_of(const BIGNUM *difference, const BIGNUM *step, struct residues *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_squares);
    for (size_t i = 0; i < MODULI; i++) {
        ret->difference[i] = (uint32_t)BN_mod_word(difference, moduli[i]);
        ret->step[i] = (uint32_t)BN_mod_word(step, moduli[i]);
    }
}

static bool may_be_square(const struct residues *r)
{
    for (size_t i = 0; i < MODULI; i++) {
        if (!(squares[i][r->difference[i] / 64] >> r->difference[i] % 64 & 1))
            return false;
    }
    return true;
}

/* From one a to the next. */
static void residues_next(struct residues *r)
{
    for (size_t i = 0; i < MODULI; i++) {
        r->difference[i] = (r->difference[i] + r->step[i]) % moduli[i];
        r->step[i] = (r->step[i] + 2) % moduli[i];
    }
}

/* 1: a² - n is a square, 0: not, -1: out of memory. */
static int is_square(const BIGNUM *a, unsigned round, const BIGNUM *n, BN_CTX *context)
{
    PC_CLEANUP(BN_free_ref) BIGNUM *difference = BN_dup(a);
    PC_CLEANUP(BN_free_ref) BIGNUM *root = BN_new();

    if (!difference || !root || !BN_add_word(difference, round) || !BN_sqr(difference, difference, context) ||
        !BN_sub(difference, difference, n))
        return -1;
    if (BN_is_zero(difference))
        return 1;
    if (!square_root(root, difference, context) || !BN_sqr(root, root, context))
        return -1;
    return BN_cmp(root, difference) == 0;
}

/* n = a² - b² for some a just above sqrt(n) exactly when its two primes lie close together. */
static int judge_fermat(const BIGNUM *n)
{
    struct residues residues;
    PC_CLEANUP(BN_CTX_free_ref) BN_CTX *context = BN_CTX_new();
    PC_CLEANUP(BN_free_ref) BIGNUM *a = BN_new();
    PC_CLEANUP(BN_free_ref) BIGNUM *difference = BN_new(); /* a² - n */
    PC_CLEANUP(BN_free_ref) BIGNUM *step = BN_new();       /* 2a + 1: from one square to the next */

    if (!context || !a || !difference || !step || !square_root(a, n, context) ||
        !BN_sqr(difference, a, context))
        return pc_fail(PC_EFAIL, "out of memory");
    if (BN_cmp(difference, n) < 0 && (!BN_add_word(a, 1) || !BN_sqr(difference, a, context)))
        return pc_fail(PC_EFAIL, "out of memory");
    if (!BN_sub(difference, difference, n) || !BN_lshift1(step, a) || !BN_add_word(step, 1))
        return pc_fail(PC_EFAIL, "out of memory");
    residues_of(difference, step, &residues);
    for (unsigned round = 0; round < FERMAT_ROUNDS; round++) {
        int square = may_be_square(&residues) ? is_square(a, round, n, context) : 0;

        if (square < 0)
            return pc_fail(PC_EFAIL, "out of memory");
        if (square)
            return pc_refuse("key-fermat",
                             "RSA primes lie so close that Fermat's method finds them in round %u",
                             round + 1);
        residues_next(&residues);
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
