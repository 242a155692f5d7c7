/* Subjects, good and hostile. */
#include <ctype.h>
#include <string.h>

#include "tests/data/csr_parts.h"
#include "tests/data/der.h"

#define CN "2.5.4.3"
#define ORGANIZATION "2.5.4.10"
enum {
    UTF8 = 0x0c,
    PRINTABLE = 0x13,
    TELETEX = 0x14,
    BMP = 0x1e,
    OCTETS = 0x04,
    SEQUENCE = 0x30,
    SET = 0x31
};

static struct pc_bytes rdn(const char *type, unsigned char tag, const char *text)
{
    return der_rdn(type, tag, text, strlen(text));
}

static struct pc_bytes one(struct pc_bytes only)
{
    return der_wrap(SEQUENCE, only);
}

static struct pc_bytes two(struct pc_bytes first, struct pc_bytes second)
{
    struct pc_bytes both = der_join(&first, &second, NULL);

    pc_bytes_clear(&first);
    pc_bytes_clear(&second);
    return der_wrap(SEQUENCE, both);
}

struct pc_bytes name_good(const struct csr_context *context)
{
    return one(rdn(CN, PRINTABLE, context->plant));
}

struct pc_bytes name_utf8(const struct csr_context *context)
{
    return one(rdn(CN, UTF8, context->plant));
}

struct pc_bytes name_empty(const struct csr_context *context)
{
    (void)context;
    return der_wrap(SEQUENCE, (struct pc_bytes){0});
}

struct pc_bytes name_organization(const struct csr_context *context)
{
    return one(rdn(ORGANIZATION, PRINTABLE, context->plant));
}

struct pc_bytes name_two_cns(const struct csr_context *context)
{
    return two(rdn(CN, PRINTABLE, context->plant),
               rdn(CN, PRINTABLE, "f0000000-0000-4000-8000-00000000000f"));
}

struct pc_bytes name_two_cns_one_rdn(const struct csr_context *context)
{
    return one(der_set_of_two(rdn(CN, PRINTABLE, context->plant),
                              rdn(CN, PRINTABLE, "f0000000-0000-4000-8000-00000000000f")));
}

struct pc_bytes name_cn_and_organization(const struct csr_context *context)
{
    return two(rdn(ORGANIZATION, PRINTABLE, "Evil"), rdn(CN, PRINTABLE, context->plant));
}

struct pc_bytes name_cn_and_organization_one_rdn(const struct csr_context *context)
{
    return one(der_set_of_two(rdn(CN, PRINTABLE, context->plant), rdn(ORGANIZATION, PRINTABLE, "Evil")));
}

struct pc_bytes name_empty_rdn(const struct csr_context *context)
{
    return two(rdn(CN, PRINTABLE, context->plant), der_wrap(SET, (struct pc_bytes){0}));
}

/* To a C string this is the good UUID. */
struct pc_bytes name_nul(const struct csr_context *context)
{
    char text[64] = {0};

    memcpy(text, context->plant, 36);
    memcpy(text + 37, ".evil", 5);
    return one(der_rdn(CN, UTF8, text, 42));
}

struct pc_bytes name_latin(const struct csr_context *context)
{
    char text[64] = "\xc3\xa9";

    memcpy(text + 2, context->plant, 36);
    return one(rdn(CN, UTF8, text));
}

struct pc_bytes name_bmp(const struct csr_context *context)
{
    char text[72];

    for (size_t i = 0; i < 36; i++) {
        text[2 * i] = 0;
        text[2 * i + 1] = context->plant[i];
    }
    return one(der_rdn(CN, BMP, text, sizeof text));
}

struct pc_bytes name_teletex(const struct csr_context *context)
{
    return one(rdn(CN, TELETEX, context->plant));
}

struct pc_bytes name_control(const struct csr_context *context)
{
    char text[64] = {0};

    memcpy(text, context->plant, 36);
    text[36] = '\n';
    return one(rdn(CN, UTF8, text));
}

struct pc_bytes name_no_text(const struct csr_context *context)
{
    (void)context;
    return one(rdn(CN, UTF8, ""));
}

struct pc_bytes name_upper(const struct csr_context *context)
{
    char text[64] = {0};

    for (size_t i = 0; i < 36; i++)
        text[i] = (char)toupper((unsigned char)context->plant[i]);
    text[0] = 'A'; /* there is one letter at least */
    return one(rdn(CN, PRINTABLE, text));
}

struct pc_bytes name_braces(const struct csr_context *context)
{
    char text[64] = "{";

    strcat(strcat(text, context->plant), "}");
    return one(rdn(CN, UTF8, text));
}

struct pc_bytes name_host(const struct csr_context *context)
{
    (void)context;
    return one(rdn(CN, PRINTABLE, "mqtt.voke.lovinka.com"));
}

struct pc_bytes name_nil(const struct csr_context *context)
{
    (void)context;
    return one(rdn(CN, PRINTABLE, "00000000-0000-0000-0000-000000000000"));
}

struct pc_bytes name_other(const struct csr_context *context)
{
    (void)context;
    return one(rdn(CN, PRINTABLE, "f0000000-0000-4000-8000-00000000000f"));
}

/* The CN as a constructed string of indefinite length: BER that OpenSSL reads. */
struct pc_bytes name_indefinite_string(const struct csr_context *context)
{
    struct pc_bytes piece = der_wrap(PRINTABLE, der_copy(context->plant, 36));
    struct pc_bytes value = der_indefinite(der_wrap(PRINTABLE | 0x20, piece)), type = der_oid(CN);
    struct pc_bytes both = der_join(&type, &value, NULL);

    pc_bytes_clear(&type);
    pc_bytes_clear(&value);
    return one(der_wrap(SET, der_wrap(SEQUENCE, both)));
}
