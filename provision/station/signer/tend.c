/* What a signer does at intervals, in the ledger's thread and while nobody signs: the key judged again, a
 * checkpoint where one is due, the CRL that a replacement asked for, and the numbers for the metrics. */
#include <string.h>

#include "provision/station/signer/station.h"
#include "src/ca/admission.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/base/time.h"

static int count_waiting(void *context, const struct ca_waiting *waiting)
{
    if (strcmp(waiting->state, "waiting") == 0)
        ++*(uint64_t *)context;
    return 0;
}

static int look(struct station *s)
{
    const struct ca *ca = s->ca;
    struct wire_health seen = {0};
    struct ledger_crl crl;
    int64_t from, until;
    int r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &crl);
    if (r == 0)
        r = ca_waiting_each(s->ca, count_waiting, &seen.waiting);
    if (r == 0)
        r = pki_certificate_dates(ca->certificate, &from, &until);
    if (r < 0)
        return r;
    seen.crl_this_update = crl.this_update;
    seen.crl_next_update = crl.next_update;
    /* notAfter = t - backdate + days - 1 s must not pass the CA's. */
    seen.horizon = until + 1 - ca->settings->device_days * PC_DAY + ca->settings->backdate;
    pthread_mutex_lock(&s->lock);
    s->looked = seen;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

/* A predecessor that was revoked at once is to be on a CRL at once. One that fails is left to whoever makes
 * CRLs at intervals: certificates go on being issued. */
static void make_crl(struct station *s)
{
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
    pthread_mutex_lock(&s->lock);
    bool wanted = s->crl_wanted;
    s->crl_wanted = false;
    pthread_mutex_unlock(&s->lock);
    if (wanted && ca_crl(s->ca, &report, NULL) < 0)
        pc_log(PC_LOG_WARNING, "a certificate was revoked, but no CRL was made: %s; plantca crl makes it",
               pc_error_text());
}

int station_tend(void *context)
{
    struct station *s = context;
    s->ca->guarded = false; /* a ledger may be put back under a process that runs for months */
    int r = ca_signing_run(s->ca);
    if (r < 0)
        return r;
    make_crl(s);
    return look(s);
}
