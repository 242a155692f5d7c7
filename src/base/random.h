/* Random bytes: the one place they come from (serial numbers, nonces, identifiers). */
#ifndef PC_RANDOM_H
#define PC_RANDOM_H

#include <stddef.h>

int pc_random(void *ret, size_t len); /* from the kernel's generator; PC_EFAIL if it fails */

#endif
