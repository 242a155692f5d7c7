/* What every fuzzer needs: an entry for libFuzzer, and a way to say what must hold. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(bool holds)
{
    if (!holds)
        abort();
}

static inline void must_be_same(const struct pc_bytes *one, const struct pc_bytes *other)
{
    must(one->len == other->len && (one->len == 0 || memcmp(one->data, other->data, one->len) == 0));
}

/* A view that nobody frees. */
static inline struct pc_bytes borrowed(const uint8_t *data, size_t size)
{
    return (struct pc_bytes){(unsigned char *)(uintptr_t)data, size};
}

#endif
