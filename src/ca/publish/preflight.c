/* Preflight: whom would the new files shut out? Every valid certificate on record is judged under the old
 * files and the new by the broker's rules. Nothing is written here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/base/random.h"
#include "src/base/time.h"
#include "src/ca/publish/judge.h"
#include "src/pki/openssl.h"

#define SAMPLE 100 /* certificates that are verified in full, whatever the sets say */
#define VALID (LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_SUPERSEDED) | LEDGER_BIT(LEDGER_FOREIGN))
#define TOLD 5 /* of those shut out, in the message */

struct flight {
    struct ca *ca;
    const struct bundle *old, *new;
    int64_t now;
    struct judge judge;
    struct serial_set retired;
    struct ca_publish_report *report;
    bool namesake;          /* one shut out is of a CA with the name of another */
    size_t room;            /* of report->shut_out */
    int64_t sample[SAMPLE]; /* rows */
    size_t seen;
};

static void flight_clear(struct flight *f)
{
    judge_clear(&f->judge);
    serial_set_clear(&f->retired);
}

static int shut_out(struct flight *f, const char *serial, const char *cn, const char *why)
{
    struct ca_publish_report *report = f->report;
    struct pki_serial parsed;
    int r = pki_serial_parse(serial, &parsed);
    if (r < 0)
        return r;
    if (serial_set_has(&f->retired, &parsed)) {
        report->retired++;
        return 0;
    }
    if (report->shut_out_count == f->room) {
        size_t room = f->room ? 2 * f->room : 16;
        struct ca_shut_out *grown = reallocarray(report->shut_out, room, sizeof *grown);
        if (!grown)
            return pc_fail(PC_EFAIL, "out of memory");
        report->shut_out = grown;
        f->room = room;
    }
    struct ca_shut_out *out = &report->shut_out[report->shut_out_count++];
    snprintf(out->serial, sizeof out->serial, "%s", serial);
    snprintf(out->cn, sizeof out->cn, "%s", cn);
    snprintf(out->why, sizeof out->why, "%s", why);
    return 0;
}

/* A uniform sample of rows of which nobody knows how many will come (Vitter's algorithm R). */
static int choose(struct flight *f, int64_t row)
{
    uint64_t random;
    if (f->seen++ < SAMPLE) {
        f->sample[f->seen - 1] = row;
        return 0;
    }
    int r = pc_random(&random, sizeof random);
    if (r == 0 && random % f->seen < SAMPLE)
        f->sample[random % f->seen] = row;
    return r;
}

/* What the issuer's standing and its CRLs say of one serial number. */
static enum judge_verdict judge_by_sets(const struct issuer_view *issuer, const struct pki_serial *serial,
                                        const char **ret_why)
{
    const struct standing *before = &issuer->before, *after = &issuer->after;
    const char *why = NULL;
    if (!after->sound)
        why = after->why;
    else if (after->crl && pki_crl_lists(after->crl, serial))
        why = "on the new CRL, but not revoked on record";
    *ret_why = why;
    if (!why)
        return JUDGE_ACCEPTED;
    bool refused_before = !before->sound || (before->crl && pki_crl_lists(before->crl, serial));
    return refused_before && !issuer->comes ? JUDGE_REFUSED_AS_BEFORE : JUDGE_NEWLY_REFUSED;
}

static int judge_one(struct flight *f, const struct issuer_view *issuer, const struct ledger_certificate *row,
                     const struct pki_serial *serial)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    char text[sizeof f->report->shut_out->why];
    const char *why = NULL;
    enum judge_verdict verdict = judge_by_sets(issuer, serial, &why);
    bool listed = issuer->after.crl && pki_crl_lists(issuer->after.crl, serial);
    int r = 0;
    if ((issuer->comes || issuer->namesake) && !listed) {
        r = judge_certificate(f->ca, row->id, &certificate);
        if (r == 0)
            r = judge_path(&f->judge, issuer, certificate, f->now, &verdict, text);
        why = text;
    } else {
        r = choose(f, row->id);
    }
    if (r < 0)
        return r;
    f->report->refused += verdict == JUDGE_REFUSED_AS_BEFORE;
    if (verdict != JUDGE_NEWLY_REFUSED)
        return 0;
    f->namesake = f->namesake || issuer->namesake;
    return shut_out(f, row->record.serial, row->record.cn, why);
}

static int judge_row(void *context, const struct ledger_certificate *row)
{
    struct flight *f = context;
    const struct issuer_view *issuer = judge_issuer(&f->judge, row->issuer);
    struct pki_serial serial;
    if (!issuer)
        return 0;
    int r = pki_serial_parse(row->record.serial, &serial);
    if (r < 0)
        return r;
    f->report->judged++;
    return judge_one(f, issuer, row, &serial);
}

/* Told of, or allowed for, by now. */
static bool is_settled(const struct flight *f, const struct pki_serial *serial)
{
    char text[PKI_SERIAL_TEXT];
    pki_serial_format(serial, text);
    for (size_t i = 0; i < f->report->shut_out_count; i++)
        if (strcmp(f->report->shut_out[i].serial, text) == 0)
            return true;
    return serial_set_has(&f->retired, serial);
}

static int verify_one(struct flight *f, int64_t id)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    struct ledger_certificate row;
    struct pki_serial serial;
    char why[sizeof f->report->shut_out->why];
    const char *by_sets;
    enum judge_verdict verdict = JUDGE_ACCEPTED;
    int r = ledger_row_get(f->ca->ledger, id, &row);
    if (r == 0)
        r = pki_serial_parse(row.record.serial, &serial);
    if (r == 0)
        r = judge_certificate(f->ca, id, &certificate);
    if (r < 0)
        return r;
    const struct issuer_view *issuer = judge_issuer(&f->judge, row.issuer);
    r = judge_in_full(&f->judge, issuer, certificate, f->now, &verdict, why);
    if (r < 0 || verdict == JUDGE_ACCEPTED || is_settled(f, &serial))
        return r;
    if (verdict == JUDGE_NEWLY_REFUSED)
        return shut_out(f, row.record.serial, row.record.cn, why);
    f->report->refused += judge_by_sets(issuer, &serial, &by_sets) != JUDGE_REFUSED_AS_BEFORE;
    return 0;
}

static int verify_sample(struct flight *f)
{
    size_t count = f->seen < SAMPLE ? f->seen : SAMPLE;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = verify_one(f, f->sample[i]);
    f->report->sampled = count;
    return r;
}

/* What stands newly on our CRL must be revoked, held or void on record. */
static int check_new_entries(struct flight *f)
{
    const struct issuer_view *ours = judge_issuer(&f->judge, f->ca->issuer.id);
    X509_CRL *crl = ours ? ours->after.crl : NULL;
    STACK_OF(X509_REVOKED) *entries = crl ? X509_CRL_get_REVOKED(crl) : NULL;
    struct serial_set PC_CLEANUP(serial_set_clear) listed = {0};
    int r = sk_X509_REVOKED_num(entries) > 0 ? serial_set_of_record(f->ca, &listed) : 0;
    for (int i = 0; r == 0 && i < sk_X509_REVOKED_num(entries); i++) {
        struct pki_serial serial;
        char text[PKI_SERIAL_TEXT];
        if (!serial_of_entry(sk_X509_REVOKED_value(entries, i), &serial) ||
            serial_set_has(&listed, &serial) ||
            (ours->before.crl && pki_crl_lists(ours->before.crl, &serial)))
            continue;
        pki_serial_format(&serial, text);
        if (!is_settled(f, &serial))
            r = shut_out(f, text, "", "on the new CRL, but not revoked on record");
    }
    return r;
}

/* A CA that brokers know today and that is on no record here has a fleet of which we know nothing. */
static int check_lost_issuers(struct flight *f)
{
    int r = 0;
    for (int i = 0; r == 0 && i < sk_X509_num(f->old->certificates); i++) {
        X509 *issuer = sk_X509_value(f->old->certificates, i);
        struct pki_serial serial;
        char text[PKI_SERIAL_TEXT];
        int64_t from, until;
        pc_autofree char *cn = NULL;
        if (bundle_has(f->new, issuer) || pki_serial_of(issuer, &serial) < 0 ||
            pki_certificate_dates(issuer, &from, &until) < 0 || until < f->now)
            continue;
        pki_serial_format(&serial, text);
        if (pki_name_cn(X509_get_subject_name(issuer), &cn) < 0)
            pc_error_clear();
        r = shut_out(f, text, cn ? cn : "", "a CA with all that it issued; plantca import keeps it");
    }
    return r;
}

/* Our own CRL must be one that brokers can use at all; an imported one that they cannot use today either is
 * no reason to keep a revocation of ours from them. */
static int check_issuers(struct flight *f)
{
    for (size_t i = 0; i < f->judge.count; i++) {
        const struct issuer_view *issuer = &f->judge.issuers[i];
        if (issuer->crl_fault[0] == '\0')
            continue;
        if (issuer->id == f->ca->issuer.id)
            return pc_refuse("publish-preflight", "brokers would refuse every certificate: our CRL %s",
                             issuer->crl_fault);
        pc_log(PC_LOG_WARNING,
               "%s: its CRL %s: brokers refuse all that this CA issued. Bring a new one: "
               "plantca import --ca FILE --crl FILE",
               issuer->name, issuer->crl_fault);
    }
    return 0;
}

static int refuse(const struct flight *f)
{
    const struct ca_publish_report *report = f->report;
    char text[2048], more[64];
    size_t used = 0;
    if (report->shut_out_count == 0)
        return 0;
    text[0] = more[0] = '\0';
    for (size_t i = 0; i < report->shut_out_count && i < TOLD && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s%s%s%s: %s", i ? "; " : "",
                                 report->shut_out[i].serial, report->shut_out[i].cn[0] ? " (" : "",
                                 report->shut_out[i].cn, report->shut_out[i].cn[0] ? ")" : "",
                                 report->shut_out[i].why);
    if (report->shut_out_count > TOLD)
        snprintf(more, sizeof more, "; and %zu more", report->shut_out_count - TOLD);
    return pc_refuse("publish-preflight",
                     "nothing was published: %zu valid on record would be refused by brokers: %s%s. %s",
                     report->shut_out_count, text, more,
                     f->namesake
                         ? "The new CA needs another subject ([ca] subject, CA_SUBJECT), given before "
                           "plantca init; these can be given up with --retire"
                         : "What may be shut out is named with --retire");
}

int preflight(struct ca *ca, const struct bundle *old, const struct bundle *new, const char *retired,
              struct ca_publish_report *report)
{
    struct flight PC_CLEANUP(flight_clear)
        f = {.ca = ca, .old = old, .new = new, .now = pc_now(), .report = report};
    /* Clients: a broker's own certificate is judged by plants, not by brokers. */
    const struct ledger_query valid = {
        .profile = pki_profile_device.name, .states = VALID, .ends_after = f.now};
    int r = serial_set_parse(retired, &f.retired);
    if (r == 0)
        r = judge_new(ca, old, new, f.now, &f.judge);
    if (r == 0)
        r = check_issuers(&f);
    if (r == 0)
        r = ca->ledger->ops->find(ca->ledger, &valid, judge_row, &f);
    if (r == 0)
        r = verify_sample(&f);
    if (r == 0)
        r = check_new_entries(&f);
    if (r == 0)
        r = check_lost_issuers(&f);
    if (r < 0)
        return r;
    report->issuers = f.judge.count;
    report->crl_next_update = f.judge.next_update;
    return refuse(&f);
}
