/* What a checkpoint states: canonical JSON out, and a strict reader of it. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/audit/checkpoint.h"

#define STATEMENT_SCHEMA 1

int checkpoint_statement_format(const struct checkpoint_statement *s, struct pc_bytes *ret)
{
    char time[PC_TIME_TEXT];
    pc_time_format(s->time, time);
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:[{s:s, s:I, s:s}], s:{s:I}, s:s}", "schema", STATEMENT_SCHEMA, "ca",
                  s->ca, "time", time, "heads", "chain", s->chain, "seq", (json_int_t)s->seq, "sha256",
                  s->sha256, "certificates", "highest", (json_int_t)s->highest, "previous", s->previous);
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

static bool read(json_t *json, struct checkpoint_statement *s)
{
    const char *ca, *time, *chain, *sha256, *previous, *crl_sha256 = "";
    json_int_t seq, highest, crl = 0;
    int schema;
    json_t *heads;
    if (json_unpack(json, "{s:i, s:s, s:s, s:o, s:{s:I !}, s?:{s:I, s:s !}, s:s !}", "schema", &schema, "ca",
                    &ca, "time", &time, "heads", &heads, "certificates", "highest", &highest, "crl", "number",
                    &crl, "sha256", &crl_sha256, "previous", &previous) != 0 ||
        schema != STATEMENT_SCHEMA || json_array_size(heads) != 1 ||
        json_unpack(json_array_get(heads, 0), "{s:s, s:I, s:s !}", "chain", &chain, "seq", &seq, "sha256",
                    &sha256) != 0)
        return false;
    s->seq = seq;
    s->highest = highest;
    s->crl_number = (uint64_t)crl;
    return take(ca, s->ca, sizeof s->ca) && pc_time_parse(time, &s->time) == 0 &&
           take(chain, s->chain, sizeof s->chain) && take(sha256, s->sha256, sizeof s->sha256) &&
           take(previous, s->previous, sizeof s->previous) &&
           take(crl_sha256, s->crl_sha256, sizeof s->crl_sha256);
}

int checkpoint_statement_parse(const struct pc_bytes *text, struct checkpoint_statement *ret)
{
    struct checkpoint_statement s = {0};
    json_t *json = json_loadb((const char *)text->data, text->len, JSON_REJECT_DUPLICATES, NULL);
    bool good = json && read(json, &s);
    json_decref(json);
    if (!good)
        return pc_refuse("checkpoint-parse", "not the statement of a checkpoint");
    *ret = s;
    return 0;
}
