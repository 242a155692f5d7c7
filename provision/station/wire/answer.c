/* Answers of the signer. */
#include "provision/station/wire/frame.h"

#include <assert.h>
#include <string.h>

#include "src/base/error.h"

#define LISTS (WIRE_BIT(WIRE_ENROL) | WIRE_BIT(WIRE_REENROL) | WIRE_BIT(WIRE_TRUST) | WIRE_BIT(WIRE_SERVER))

static_assert(sizeof(enum wire_outcome) == sizeof(uint32_t), "an outcome is read and written as a number");

static bool is_rule(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

#define AT(member) .at = offsetof(struct wire_answer, member)
#define TEXT(member) .type = WIRE_TEXT, AT(member), .max = sizeof((struct wire_answer *)NULL)->member

static const struct wire_field fields[] = {
    {.tag = 1, .type = WIRE_NUMBER, AT(outcome), .allowed = WIRE_ANY},
    {.tag = 2, .type = WIRE_NUMBER, AT(retry_after), .allowed = WIRE_ANY},
    {.tag = 3, TEXT(rule), .allowed = WIRE_ANY, .form = is_rule},
    {.tag = 4, TEXT(text), .allowed = WIRE_ANY, .form = wire_is_printable},
    {.tag = 5,
     .type = WIRE_LIST,
     AT(certificates),
     .count = offsetof(struct wire_answer, count),
     .max = WIRE_CERTIFICATE_MAX,
     .allowed = LISTS},
    {.tag = 6, .type = WIRE_FLAG, AT(binding_required), .allowed = WIRE_BIT(WIRE_ATTRIBUTES)},
    {.tag = 7, .type = WIRE_NUMBERS, AT(health), .allowed = WIRE_BIT(WIRE_HEALTH)},
};
static const struct wire_table table = {
    .fields = fields, .count = sizeof fields / sizeof *fields, .direction = 0x80};

void wire_answer_clear(struct wire_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++)
        pc_bytes_clear(&answer->certificates[i]);
    *answer = (struct wire_answer){0};
}

/* Whether there is what the outcome promises, and no more. */
static const char *contradiction(const struct wire_answer *a)
{
    bool certificates = a->outcome == WIRE_DONE && (LISTS & WIRE_BIT(a->kind));
    bool leaf = a->kind == WIRE_ENROL || a->kind == WIRE_REENROL;
    if ((unsigned)a->outcome >= WIRE_OUTCOMES)
        return "no such outcome";
    if (certificates != (a->count > 0) || (certificates && leaf && a->count != 1))
        return "an answer with more or fewer certificates than its outcome has";
    return NULL;
}

int wire_answer_write(const struct wire_answer *answer, struct pc_bytes *ret_frame)
{
    const char *what = contradiction(answer);
    if (what)
        return pc_fail(PC_EUSAGE, "%s", what);
    return wire_write(&table, answer->kind, answer->number, answer, ret_frame);
}

int wire_answer_read(const void *frame, size_t len, struct wire_answer *ret)
{
    struct wire_answer PC_CLEANUP(wire_answer_clear) answer = {.outcome = WIRE_OUTCOMES};
    int r = wire_read(&table, frame, len, &answer.kind, &answer.number, &answer);
    const char *what = r == 0 ? contradiction(&answer) : NULL;
    if (what)
        return wire_refuse(what);
    if (r < 0)
        return r;
    *ret = answer;
    answer = (struct wire_answer){0};
    return 0;
}
