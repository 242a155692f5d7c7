/* What a checkpoint states: canonical JSON out, and a strict reader of it. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/audit/checkpoint.h"

#define STATEMENT_SCHEMA 1

void checkpoint_statement_clear(struct checkpoint_statement *statement)
{
    free(statement->heads);
    *statement = (struct checkpoint_statement){0};
}

const struct checkpoint_head *checkpoint_head_of(const struct checkpoint_statement *statement,
                                                 const char *chain)
{
    for (size_t i = 0; i < statement->head_count; i++)
        if (strcmp(statement->heads[i].chain, chain) == 0)
            return &statement->heads[i];
    return NULL;
}

int checkpoint_head_add(struct checkpoint_statement *statement, const char *chain, int64_t seq,
                        const char *sha256)
{
    struct checkpoint_head head = {.seq = seq};
    struct checkpoint_head *grown =
        reallocarray(statement->heads, statement->head_count + 1, sizeof *statement->heads);
    if (!grown)
        return pc_fail(PC_EFAIL, "checkpoint: out of memory");
    snprintf(head.chain, sizeof head.chain, "%s", chain);
    snprintf(head.sha256, sizeof head.sha256, "%s", sha256);
    statement->heads = grown;
    statement->heads[statement->head_count++] = head;
    return 0;
}

static json_t *format_heads(const struct checkpoint_statement *s)
{
    json_t *heads = json_array();
    for (size_t i = 0; heads && i < s->head_count; i++) {
        const struct checkpoint_head *h = &s->heads[i];
        json_t *head =
            json_pack("{s:s, s:I, s:s}", "chain", h->chain, "seq", (json_int_t)h->seq, "sha256", h->sha256);
        if (!head || json_array_append_new(heads, head) != 0) {
            json_decref(heads);
            return NULL;
        }
    }
    return heads;
}

int checkpoint_statement_format(const struct checkpoint_statement *s, struct pc_bytes *ret)
{
    char time[PC_TIME_TEXT];
    pc_time_format(s->time, time);
    json_t *json = json_pack("{s:i, s:s, s:s, s:o, s:{s:I}, s:s}", "schema", STATEMENT_SCHEMA, "ca", s->ca,
                             "time", time, "heads", format_heads(s), "certificates", "highest",
                             (json_int_t)s->highest, "previous", s->previous);
    if (json && s->crl_number)
        json_object_set_new(
            json, "crl",
            json_pack("{s:I, s:s}", "number", (json_int_t)s->crl_number, "sha256", s->crl_sha256));
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII) : NULL;
    json_decref(json);
    if (!text)
        return pc_fail(PC_EFAIL, "checkpoint: out of memory");
    *ret = (struct pc_bytes){(unsigned char *)text, strlen(text)};
    return 0;
}

static bool take(const char *text, char *ret, size_t size)
{
    if (!text || strlen(text) >= size)
        return false;
    memcpy(ret, text, strlen(text) + 1);
    return true;
}

/* In the one order that there is, each chain once. */
static bool read_heads(json_t *heads, struct checkpoint_statement *s)
{
    size_t i;
    json_t *head;
    json_array_foreach(heads, i, head)
    {
        const char *chain, *sha256;
        json_int_t seq;
        if (json_unpack(head, "{s:s, s:I, s:s !}", "chain", &chain, "seq", &seq, "sha256", &sha256) != 0 ||
            strlen(chain) >= sizeof s->heads->chain || strlen(sha256) >= sizeof s->heads->sha256 ||
            (i > 0 && strcmp(s->heads[i - 1].chain, chain) >= 0) ||
            checkpoint_head_add(s, chain, seq, sha256) < 0)
            return false;
    }
    return s->head_count > 0;
}

static bool read(json_t *json, struct checkpoint_statement *s)
{
    const char *ca, *time, *previous, *crl_sha256 = "";
    json_int_t highest, crl = 0;
    int schema;
    json_t *heads;
    if (json_unpack(json, "{s:i, s:s, s:s, s:o, s:{s:I !}, s?:{s:I, s:s !}, s:s !}", "schema", &schema, "ca",
                    &ca, "time", &time, "heads", &heads, "certificates", "highest", &highest, "crl", "number",
                    &crl, "sha256", &crl_sha256, "previous", &previous) != 0 ||
        schema != STATEMENT_SCHEMA || !read_heads(heads, s))
        return false;
    s->highest = highest;
    s->crl_number = (uint64_t)crl;
    return take(ca, s->ca, sizeof s->ca) && pc_time_parse(time, &s->time) == 0 &&
           take(previous, s->previous, sizeof s->previous) &&
           take(crl_sha256, s->crl_sha256, sizeof s->crl_sha256);
}

int checkpoint_statement_parse(const struct pc_bytes *text, struct checkpoint_statement *ret)
{
    struct checkpoint_statement s PC_CLEANUP(checkpoint_statement_clear) = {0};
    json_t *json = json_loadb((const char *)text->data, text->len, JSON_REJECT_DUPLICATES, NULL);
    bool good = json && read(json, &s);
    json_decref(json);
    if (!good)
        return pc_refuse("checkpoint-parse", "not the statement of a checkpoint");
    *ret = s;
    s = (struct checkpoint_statement){0};
    return 0;
}
