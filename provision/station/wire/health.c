/* The signer's numbers on the wire. */
#include "provision/station/wire/frame.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

/* From a signature of a P-256 key in software to a network HSM that is asked too much. */
const uint32_t wire_health_bounds[WIRE_HEALTH_LE] = {250,   500,   1000,   2500,   5000,    10000,
                                                     25000, 50000, 100000, 250000, 1000000, 5000000};

/* What there is, in its order on the wire. */
static size_t gather(struct wire_health *h, uint64_t *ret[WIRE_HEALTH_BYTES / 8])
{
    uint64_t *const numbers[] = {
        &h->issued,     &h->given_again,   &h->pending_answers, &h->refused, &h->failed,
        &h->reenrolled, &h->signing_count, &h->signing_us,      &h->waiting, &h->queue,
    };
    int64_t *const times[] = {&h->started_at, &h->crl_this_update, &h->crl_next_update, &h->horizon};
    size_t count = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ret[count++] = numbers[i];
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        ret[count++] = (uint64_t *)times[i];
    for (size_t i = 0; i < WIRE_HEALTH_LE; i++)
        ret[count++] = &h->signing_le[i];
    return count;
}

static_assert(WIRE_HEALTH_BYTES / 8 == 1 + 10 + 4 + WIRE_HEALTH_LE, "what gather gathers, and the flags");

void wire_health_put(const struct wire_health *health, unsigned char ret[WIRE_HEALTH_BYTES])
{
    uint64_t *numbers[WIRE_HEALTH_BYTES / 8];
    struct wire_health copy = *health;
    size_t count = gather(&copy, numbers);
    uint64_t big = htobe64((uint64_t)health->token | (uint64_t)health->ledger << 1);
    memcpy(ret, &big, sizeof big);
    for (size_t i = 0; i < count; i++) {
        big = htobe64(*numbers[i]);
        memcpy(ret + 8 * (i + 1), &big, sizeof big);
    }
}

int wire_health_take(const unsigned char from[WIRE_HEALTH_BYTES], struct wire_health *ret)
{
    uint64_t *numbers[WIRE_HEALTH_BYTES / 8], big;
    size_t count = gather(ret, numbers);
    memcpy(&big, from, sizeof big);
    big = be64toh(big);
    if (big > 3)
        return wire_refuse("other numbers");
    ret->token = big & 1;
    ret->ledger = big >> 1;
    for (size_t i = 0; i < count; i++) {
        memcpy(&big, from + 8 * (i + 1), sizeof big);
        *numbers[i] = be64toh(big);
    }
    return 0;
}
