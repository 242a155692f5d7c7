/* One-time codes, by which a plant is admitted once: made at the station, typed in at the PLC. */
#ifndef PC_CODE_H
#define PC_CODE_H

#include <stddef.h>

#define PC_CODE_DIGITS 25 /* of Crockford's base32 (no I, L, O, U): 125 bits */
#define PC_CODE_TEXT 30   /* bytes with the NUL: the digits by fives, with hyphens between */

/* A new one. */
int pc_code_new(char ret[PC_CODE_TEXT]);
/* As it was typed (capitals or not, hyphens and blanks anywhere, O for 0, I and L for 1) to its digits alone.
 * PC_EUSAGE "code-form": too few or too many, or something that is in no code; the text says which place, and
 * holds nothing of the code. The caller wipes `ret`. */
int pc_code_read(const void *typed, size_t len, char ret[PC_CODE_DIGITS + 1]);

#endif
