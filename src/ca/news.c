/* Audit rows as news: which chains there are, and how far each was told. */
#include "src/ca/news.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/ca/audit/line.h"
#include "src/ca/internal.h"

struct chain {
    char name[33];
    int64_t seq, head; /* told up to; the last one there is */
};

struct ca_news {
    int64_t back;
    struct chain *chains; /* owned */
    size_t count;
};

int ca_news_new(int64_t back, struct ca_news **ret)
{
    struct ca_news *news = calloc(1, sizeof *news);
    if (!news)
        return pc_fail(PC_EFAIL, "out of memory");
    news->back = back;
    *ret = news;
    return 0;
}

void ca_news_free(struct ca_news *news)
{
    if (news)
        free(news->chains);
    free(news);
}

static int see_head(void *context, const struct ledger_audit *row)
{
    struct ca_news *news = context;
    for (size_t i = 0; i < news->count; i++)
        if (strcmp(news->chains[i].name, row->chain) == 0) {
            news->chains[i].head = row->seq;
            return 0;
        }
    struct chain *grown = reallocarray(news->chains, news->count + 1, sizeof *grown);
    if (!grown)
        return pc_fail(PC_EFAIL, "out of memory");
    news->chains = grown;
    struct chain *chain = &grown[news->count++];
    *chain = (struct chain){.seq = row->seq > news->back ? row->seq - news->back : 0, .head = row->seq};
    memcpy(chain->name, row->chain, sizeof chain->name);
    return 0;
}

struct telling {
    struct chain *chain;
    void (*event)(void *context, const struct ca_event *event);
    void *context;
};

static int tell(void *context, const struct ledger_audit *row)
{
    struct telling *t = context;
    struct audit_line line;
    t->chain->seq = row->seq;
    if (audit_line_read(row->line, &line) < 0)
        return 0;
    struct ca_event event = {.time = line.time};
    memcpy(event.act, line.act, sizeof event.act);
    memcpy(event.plant, line.subject, sizeof event.plant);
    memcpy(event.key_sha256, line.key_sha256, sizeof event.key_sha256);
    memcpy(event.serial, line.serial, sizeof event.serial);
    memcpy(event.address, line.address, sizeof event.address);
    snprintf(event.user, sizeof event.user, "%.*s", (int)sizeof event.user - 1, line.user);
    if (strcmp(line.outcome, "refused") == 0)
        memcpy(event.rule, *line.rule ? line.rule : "refused", *line.rule ? sizeof event.rule : 8);
    t->event(t->context, &event);
    return 0;
}

int ca_news_each(struct ca *ca, struct ca_news *news,
                 void (*event)(void *context, const struct ca_event *event), void *context)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca->ledger->ops->begin(ca->ledger, false);
    if (r < 0)
        return r;
    open = ca->ledger;
    r = ca->ledger->ops->audit_heads(ca->ledger, see_head, news);
    for (size_t i = 0; r == 0 && i < news->count; i++) {
        struct telling telling = {&news->chains[i], event, context};
        if (news->chains[i].seq < news->chains[i].head)
            r = ca->ledger->ops->audit_each(ca->ledger, news->chains[i].name, news->chains[i].seq + 1, tell,
                                            &telling);
    }
    return r;
}
