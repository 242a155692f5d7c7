/* Seeing what is on record: lists, one plant or serial, a certificate's PEM. */
#include "src/ca/list.h"

#include <assert.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/internal.h"

struct listener {
    int (*row)(void *context, const struct ca_record *record);
    void *context;
};

static int tell(void *context, const struct ledger_certificate *row)
{
    const struct listener *listener = context;
    return listener->row(listener->context, &row->record);
}

static int by_serial(struct ca *ca, const struct pki_serial *serial, struct ledger_rows *ret)
{
    char text[PKI_SERIAL_TEXT];
    pki_serial_format(serial, text);
    return ledger_collect(ca->ledger, &(struct ledger_query){.serial = text}, ret);
}

static int row_of(struct ca *ca, const char *serial, int64_t *ret)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    struct pki_serial parsed;
    int r = pki_serial_parse(serial, &parsed);
    if (r == 0)
        r = by_serial(ca, &parsed, &rows);
    if (r < 0)
        return r;
    if (rows.count == 0)
        return pc_refuse("record-unknown", "%s: no certificate on record", serial);
    *ret = rows.rows[0].id;
    return 0;
}

int ca_list(struct ca *ca, const struct ca_list_options *options,
            int (*row)(void *context, const struct ca_record *record), void *context)
{
    int64_t now = pc_now();
    const struct ledger_query queries[] = {
        [CA_ALL] = {0},
        [CA_CURRENT] = {.states = LEDGER_BIT(LEDGER_CURRENT)},
        [CA_VALID] = {.states = LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_SUPERSEDED) |
                                LEDGER_BIT(LEDGER_FOREIGN),
                      .ends_after = now},
        [CA_EXPIRING] = {.states = LEDGER_BIT(LEDGER_CURRENT), .ends_before = now + options->within},
        [CA_SUPERSEDED] = {.states = LEDGER_BIT(LEDGER_SUPERSEDED)},
        [CA_HELD] = {.states = LEDGER_BIT(LEDGER_HELD)},
        [CA_REVOKED] = {.states = LEDGER_BIT(LEDGER_REVOKED)},
        [CA_FOREIGN] = {.states = LEDGER_BIT(LEDGER_FOREIGN)},
    };
    struct listener listener = {.row = row, .context = context};
    struct ledger_query query = queries[options->filter];
    query.limit = options->limit;
    /* Each publication makes one, for an hour. */
    query.profile = options->profile;
    query.profile_not = options->all || options->profile ? NULL : pki_profile_probe.name;
    int r = options->after ? row_of(ca, options->after, &query.after) : 0;
    return r < 0 ? r : ca->ledger->ops->find(ca->ledger, &query, tell, &listener);
}

/* The subject of a foreign issuer. */
struct issuer_search {
    int64_t id;
    char *subject; /* room of a ledger_issuer's */
};

static int find_issuer(void *context, const struct ledger_issuer *issuer)
{
    const struct issuer_search *search = context;
    if (issuer->id == search->id && issuer->foreign)
        memcpy(search->subject, issuer->subject, sizeof issuer->subject);
    return 0;
}

static int detail_of(struct ca *ca, const struct ledger_certificate *row,
                     const struct ledger_rows *of_subject, struct ca_detail *ret)
{
    struct ca_detail detail = {.record = row->record};
    struct issuer_search search = {.id = row->issuer, .subject = detail.issuer};
    static_assert(sizeof detail.issuer == sizeof((struct ledger_issuer *)0)->subject, "one text, one size");
    for (size_t i = 0; i < of_subject->count; i++) {
        const struct ledger_certificate *other = &of_subject->rows[i];
        if (other->id == row->predecessor)
            memcpy(detail.predecessor, other->record.serial, sizeof detail.predecessor);
        if (other->predecessor == row->id && other->state != LEDGER_VOID)
            memcpy(detail.successor, other->record.serial, sizeof detail.successor);
    }
    int r = ca->ledger->ops->issuer_each(ca->ledger, find_issuer, &search);
    if (r == 0)
        *ret = detail;
    return r;
}

/* Those of a subject, newest first; `id` 0: all. */
static int tell_subject(struct ca *ca, const char *subject, int64_t id,
                        int (*row)(void *context, const struct ca_detail *detail), void *context)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query query = {.subject = subject, .newest_first = true};
    int r = ledger_collect(ca->ledger, &query, &rows);
    if (r == 0 && rows.count == 0)
        return pc_refuse("record-unknown", "%s: no certificate on record", subject);
    for (size_t i = 0; r == 0 && i < rows.count; i++) {
        struct ca_detail detail;
        if (id != 0 && rows.rows[i].id != id)
            continue;
        r = detail_of(ca, &rows.rows[i], &rows, &detail);
        if (r == 0)
            r = row(context, &detail);
    }
    return r;
}

int ca_show(struct ca *ca, const char *uuid_or_serial,
            int (*row)(void *context, const struct ca_detail *detail), void *context)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    struct pki_serial serial;
    int r = 0;
    if (!pki_uuid_is_canonical(uuid_or_serial) && pki_serial_parse(uuid_or_serial, &serial) == 0)
        r = by_serial(ca, &serial, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        r = tell_subject(ca, rows.rows[i].record.cn, rows.rows[i].id, row, context);
    if (r != 0 || rows.count)
        return r;
    /* Neither plant nor serial: the name of a broker, perhaps. */
    return tell_subject(ca, uuid_or_serial, 0, row, context);
}

int ca_chain_of(const struct pc_bytes *der, struct pc_bytes *ret)
{
    /* The root signs the leaves itself, and is not sent along: verifiers have it. */
    pc_autobytes pem = {0};
    int r = pki_certificate_der_append_pem(der, &pem);
    if (r < 0)
        return r;
    *ret = pem;
    pem = (struct pc_bytes){0};
    return 0;
}

int ca_chain_pem(struct ca *ca, int64_t row, struct pc_bytes *ret)
{
    pc_autobytes der = {0};
    int r = ca->ledger->ops->body(ca->ledger, row, NULL, &der);
    if (r == 0 && der.len == 0)
        r = pc_refuse("record-unsigned", "no certificate was issued under this serial");
    return r < 0 ? r : ca_chain_of(&der, ret);
}

int ca_certificate_pem(struct ca *ca, const char *serial, struct pc_bytes *ret)
{
    int64_t row = 0;
    int r = row_of(ca, serial, &row);
    return r < 0 ? r : ca_chain_pem(ca, row, ret);
}
