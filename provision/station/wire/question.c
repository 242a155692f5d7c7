/* Questions of the network service. */
#include "provision/station/wire/frame.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/secret.h"
#include "src/pki/request.h"

#define CERTIFIES (WIRE_BIT(WIRE_ENROL) | WIRE_BIT(WIRE_REENROL))

static bool is_base64(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    size_t padding = strspn(text + len, "=");
    return text[len + padding] == '\0' && padding <= 2 && (len + padding) % 4 == 0;
}

/* An address, as it goes on record. */
static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text > '~')
            return false;
    return true;
}

#define AT(member) .at = offsetof(struct wire_question, member)
#define TEXT(member) .type = WIRE_TEXT, AT(member), .max = sizeof((struct wire_question *)NULL)->member

static const struct wire_field fields[] = {
    {.tag = 1, TEXT(label), .allowed = WIRE_ANY, .form = is_plain},
    {.tag = 2,
     .type = WIRE_BYTES,
     AT(csr),
     .max = PKI_REQUEST_MAX,
     .allowed = CERTIFIES | WIRE_BIT(WIRE_SERVER)},
    {.tag = 3, TEXT(user), .allowed = WIRE_BIT(WIRE_ENROL), .form = pki_uuid_is_canonical},
    {.tag = 4, .type = WIRE_SECRET, AT(code), .max = PC_SECRET_MAX, .allowed = WIRE_BIT(WIRE_ENROL)},
    {.tag = 5, .type = WIRE_BYTES, AT(certificate), .max = WIRE_CERTIFICATE_MAX, .allowed = CERTIFIES},
    {.tag = 6, TEXT(binding), .allowed = CERTIFIES, .form = is_base64},
    {.tag = 7, TEXT(from), .allowed = WIRE_ANY, .form = is_plain},
};
static const struct wire_table table = {.fields = fields, .count = sizeof fields / sizeof *fields};

void wire_question_clear(struct wire_question *question)
{
    pc_bytes_clear(&question->csr);
    pc_bytes_clear(&question->certificate);
    pc_secret_free(question->code);
    *question = (struct wire_question){0};
}

/* What a question of its kind cannot be without. */
static const char *missing(const struct wire_question *q)
{
    if (((CERTIFIES | WIRE_BIT(WIRE_SERVER)) & WIRE_BIT(q->kind)) && q->csr.len == 0)
        return "a question without its request";
    if ((CERTIFIES & WIRE_BIT(q->kind)) && !*q->from)
        return "a question of nobody";
    return NULL;
}

int wire_question_write(const struct wire_question *question, struct pc_bytes *ret_frame)
{
    const char *what = missing(question);
    if (what)
        return pc_fail(PC_EUSAGE, "%s", what);
    return wire_write(&table, question->kind, question->number, question, ret_frame);
}

int wire_question_read(const void *frame, size_t len, struct wire_question *ret)
{
    struct wire_question PC_CLEANUP(wire_question_clear) question = {0};
    int r = wire_read(&table, frame, len, &question.kind, &question.number, &question);
    const char *what = r == 0 ? missing(&question) : NULL;
    if (what)
        return wire_refuse(what);
    if (r < 0)
        return r;
    *ret = question;
    question = (struct wire_question){0};
    return 0;
}
