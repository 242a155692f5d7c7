/* A part of the recording TCTI: a TPM that salts PSS as long as it can. */
#ifndef TCTI_SALT_H
#define TCTI_SALT_H

#include <stddef.h>
#include <stdint.h>

/* The answer to TPM2_Sign with RSAPSS and SHA-256 by the software half (PEM file `key`) of a key that was
 * imported into the TPM. 0 when the command is another, or when that fails. */
size_t salt_answer(const char *key, const uint8_t *command, size_t size, uint8_t *response, size_t room);

#endif
