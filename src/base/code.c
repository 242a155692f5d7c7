/* One-time codes: how they are made, and what people make of them who copy them from paper. */
#include "src/base/code.h"

#include <openssl/crypto.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/random.h"

#define GROUP 5

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

int pc_code_new(char ret[PC_CODE_TEXT])
{
    unsigned char random[PC_CODE_DIGITS];
    int r = pc_random(random, sizeof random);
    if (r < 0)
        return r;
    for (size_t i = 0, at = 0; i < sizeof random; i++) {
        if (i && i % GROUP == 0)
            ret[at++] = '-';
        ret[at++] = digits[random[i] & 31];
        ret[at] = '\0';
    }
    OPENSSL_cleanse(random, sizeof random);
    return 0;
}

static char fold(unsigned char c)
{
    if (c >= 'a' && c <= 'z')
        c = (unsigned char)(c - 'a' + 'A');
    return c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : (char)c;
}

int pc_code_read(const void *typed, size_t len, char ret[PC_CODE_DIGITS + 1])
{
    const unsigned char *text = typed;
    char code[PC_CODE_DIGITS + 1] = "";
    size_t count = 0, strange = 0;
    for (size_t i = 0; i < len; i++) {
        char c = fold(text[i]);
        if (c == '-' || c == ' ')
            continue;
        if (!strange && (c == '\0' || !strchr(digits, c)))
            strange = i + 1;
        if (count < PC_CODE_DIGITS)
            code[count] = c;
        count++;
    }
    if (!strange && count == PC_CODE_DIGITS)
        memcpy(ret, code, sizeof code);
    OPENSSL_cleanse(code, sizeof code);
    if (strange)
        return pc_fail_named(PC_EUSAGE, "code-form",
                             "character %zu is in no code: a code has letters (no U) and digits, and hyphens "
                             "between them",
                             strange);
    if (count != PC_CODE_DIGITS)
        return pc_fail_named(PC_EUSAGE, "code-form", "%zu letters and digits, where a code has %d", count,
                             PC_CODE_DIGITS);
    return 0;
}
