/* Refusals on record: whoever is on the network cannot make the record grow as they like. */
#include <stdio.h>
#include <string.h>

#include "provision/station/signer/station.h"
#include "src/base/time.h"

/* FNV-1a: what was seen is only told apart, and never more than sixty. */
static uint64_t hash(uint64_t from, const char *text)
{
    for (; *text; text++)
        from = (from ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return (from ^ 0xff) * UINT64_C(0x100000001b3);
}

/* The lock is held. */
static bool is_new(struct limiter *limiter, uint64_t what)
{
    int64_t minute = pc_now() / 60;
    if (limiter->minute != minute) {
        limiter->minute = minute;
        limiter->count = 0;
    }
    for (size_t i = 0; i < limiter->count; i++)
        if (limiter->seen[i] == what)
            return false;
    if (limiter->count == STATION_RECORDED_MAX)
        return false;
    limiter->seen[limiter->count++] = what;
    return true;
}

bool refusal_counts(struct station *s, struct ask *ask, const char *rule)
{
    const struct wire_question *q = &ask->asked->question;
    if (ask->told != ASK_UNTOLD)
        return ask->told == ASK_RECORDED;
    /* Clients send a code once they were asked for it: no refusal, but how every enrolment by code begins. */
    if (strcmp(rule, "admission-code") == 0) {
        ask->told = ASK_LEFT_OUT;
        return false;
    }
    /* Who has a plant's name to show for it; else wherever it came from. */
    const char *who = ask->work.request ? ask->work.request->cn : *q->user ? q->user : q->from;
    uint64_t what = hash(hash(UINT64_C(0xcbf29ce484222325), rule), who);
    pthread_mutex_lock(&s->lock);
    ask->told = is_new(&s->limiter, what) ? ASK_RECORDED : ASK_LEFT_OUT;
    if (ask->told == ASK_RECORDED) {
        ask->left_out = s->limiter.left_out;
        s->limiter.left_out = 0;
    } else {
        s->limiter.left_out++;
    }
    pthread_mutex_unlock(&s->lock);
    return ask->told == ASK_RECORDED;
}

int ask_refused(void *context, struct work *work, const char *act)
{
    struct station *s = context;
    struct ask *ask = ask_of(work);
    const struct wire_question *q = &ask->asked->question;
    char note[160];
    if (!refusal_counts(s, ask, work->failure.name))
        return 0;
    size_t len = (size_t)snprintf(note, sizeof note, "from %s", *q->from ? q->from : "the station");
    if (ask->left_out)
        snprintf(note + len, sizeof note - len, "; %llu refusals before it were not recorded",
                 (unsigned long long)ask->left_out);
    return ca_audit(
        s->ca, &(struct audit_act){
                   .act = act,
                   .outcome = "refused",
                   .rule = work->failure.name,
                   .profile = q->kind == WIRE_SERVER ? pki_profile_station.name : pki_profile_device.name,
                   .subject = work->request ? work->request->cn
                              : *q->user    ? q->user
                                            : NULL,
                   .key_sha256 = work->enrolment.issuance.key_sha256,
                   .request_sha256 = work->request_sha256,
                   .address = *q->from ? q->from : NULL,
                   .note = note,
               });
}
