/* From what a question came to, to its answer. What stands in it goes to whoever is on the network: nothing
 * of another plant, nothing that tells who is known here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provision/station/signer/station.h"
#include "src/base/error.h"
#include "src/base/log.h"

#define COLLECT 64         /* items at once */
#define SERVERS 6          /* server certificates at once, */
#define SERVER_AFTER 60000 /* ms after which there may be one more */
#define BUSY_AFTER 1       /* seconds: another request for the same plant is in work */

/* Names of refusals, by how they begin; the first that fits. `text`: NULL where the refusal's own speaks of
 * nothing but what was sent. */
static const struct {
    const char *rule;
    enum wire_outcome outcome;
    const char *text;
} outcomes[] = {
    {"request-", WIRE_BAD, NULL},
    {"key-", WIRE_BAD, NULL},
    {"binding-", WIRE_BAD, NULL},
    {"station-label", WIRE_NOWHERE, "no such label"},
    {"admission-none", WIRE_UNKNOWN, "not admitted"},
    {"admission-code-wrong", WIRE_CODE_WRONG, "not admitted"},
    {"admission-code", WIRE_CODE_ASKED, "not admitted"},
    {"admission-expired", WIRE_UNKNOWN, "not admitted"},
    {"admission-", WIRE_FORBIDDEN, "not admitted with this key"},
    {"reenrol-certificate", WIRE_UNKNOWN, "re-enrolment needs the plant's certificate"},
    {"reenrol-", WIRE_FORBIDDEN, "this certificate cannot re-enrol so"},
    {"identity-window", WIRE_FORBIDDEN, "the certificate is outside its renewal window"},
    {"identity-current", WIRE_FORBIDDEN, "another key is current for this plant"},
    {"identity-held", WIRE_FORBIDDEN, "on hold"},
    {"identity-revoked", WIRE_FORBIDDEN, "revoked"},
    {"", WIRE_FORBIDDEN, "refused"},
};

static void say(struct wire_answer *answer, const char *rule, const char *text)
{
    snprintf(answer->rule, sizeof answer->rule, "%s", rule);
    snprintf(answer->text, sizeof answer->text, "%s", text);
    pki_name_disarm(answer->text);
}

static void say_unavailable(const struct station *s, struct wire_answer *answer)
{
    answer->outcome = WIRE_UNAVAILABLE;
    answer->retry_after = s->options->retry_after;
    say(answer, "unavailable", "the station cannot sign now");
}

static void say_refused(const struct ca_failure *failure, struct wire_answer *answer)
{
    size_t i = 0;
    while (strncmp(failure->name, outcomes[i].rule, strlen(outcomes[i].rule)) != 0)
        i++;
    answer->outcome = outcomes[i].outcome;
    say(answer, failure->name, outcomes[i].text ? outcomes[i].text : failure->text);
}

static void say_failure(const struct station *s, const struct ask *ask, struct wire_answer *answer)
{
    const struct ca_failure *failure = &ask->work.failure;
    if (failure->code == PC_EREFUSED) {
        say_refused(failure, answer);
    } else if (failure->code == PC_EPENDING && strcmp(failure->name, "admission-waiting") == 0) {
        answer->outcome = WIRE_PENDING;
        answer->retry_after = s->options->retry_after;
        say(answer, failure->name, "waiting for an operator");
    } else if (failure->code == PC_EPENDING && strcmp(failure->name, "stopped") != 0) {
        /* Somebody else has begun the same: it is there in a moment. */
        answer->outcome = ask->asked->question.kind == WIRE_SERVER ? WIRE_UNAVAILABLE : WIRE_PENDING;
        answer->retry_after = BUSY_AFTER;
        say(answer, "busy", "a request for this plant is in work");
    } else if (failure->code == PC_EFAIL && station_signs(s)) {
        answer->outcome = WIRE_FAILED;
        say(answer, "failed", "the station failed; its log tells why");
    } else {
        say_unavailable(s, answer);
    }
}

static void count_signature(struct wire_health *h, int64_t us)
{
    h->signing_count++;
    h->signing_us += (uint64_t)us;
    for (size_t i = 0; i < WIRE_HEALTH_LE; i++)
        h->signing_le[i] += us <= (int64_t)wire_health_bounds[i];
}

/* Server certificates are signed, but are nobody's enrolment. */
static void count(struct station *s, const struct ask *ask, const struct wire_answer *answer)
{
    struct wire_health *h = &s->counted;
    if (ask->work.outcome == WORK_ISSUED && answer->outcome == WIRE_DONE)
        count_signature(h, ask->work.signed_us);
    if (answer->kind == WIRE_SERVER)
        return;
    if (answer->outcome == WIRE_DONE) {
        h->issued += ask->work.outcome == WORK_ISSUED;
        h->given_again += ask->work.outcome == WORK_GIVEN;
        h->reenrolled += ask->work.outcome == WORK_ISSUED && answer->kind == WIRE_REENROL;
    } else if (answer->outcome == WIRE_PENDING) {
        h->pending_answers++;
    } else if (answer->outcome == WIRE_UNAVAILABLE || answer->outcome == WIRE_FAILED) {
        h->failed++;
    } else if (answer->outcome != WIRE_CODE_ASKED) {
        h->refused++;
    }
}

/* A line for the journal each; of refusals, as many as go on record. */
static void tell(const struct ask *ask)
{
    const struct work *w = &ask->work;
    size_t len = strlen(ask->who); /* what failed in the ledger says who it was about already */
    if (w->failure.code == 0)
        pc_log(PC_LOG_NOTICE, "%s: %s %s", ask->who, w->outcome == WORK_GIVEN ? "given again" : "issued",
               w->serial);
    else if (w->failure.code != PC_EREFUSED || ask->told == ASK_RECORDED)
        pc_log(PC_LOG_NOTICE, "%s: %s: %s", ask->who, w->failure.name,
               strncmp(w->failure.text, ask->who, len) == 0 ? w->failure.text + len + 2 : w->failure.text);
}

static void answer_ended(struct station *s, struct ask *ask)
{
    struct wire_answer PC_CLEANUP(wire_answer_clear)
        answer = {.number = ask->asked->question.number, .kind = ask->asked->question.kind};
    struct pc_bytes *der = &ask->work.enrolment.issuance.der;
    if (ask->work.failure.code < 0) {
        say_failure(s, ask, &answer);
    } else {
        answer.certificates[answer.count++] = *der;
        *der = (struct pc_bytes){0};
    }
    tell(ask);
    count(s, ask, &answer);
    connections_answer(s->connections, ask->asked->connection, &answer);
}

void station_answer_ended(struct station *s)
{
    struct queue ended;
    while (s->pipeline) {
        (void)pipeline_collect(s->pipeline, COLLECT, 0, &ended);
        if (!ended.first)
            return;
        for (struct work *work = ended.first; work; work = work->next)
            answer_ended(s, ask_of(work));
        pipeline_give_back(s->pipeline, &ended);
    }
}

static void refuse_asked(struct station *s, const struct asked *asked)
{
    struct wire_answer answer = {.number = asked->question.number, .kind = asked->question.kind};
    say_unavailable(s, &answer);
    s->counted.failed += answer.kind != WIRE_SERVER;
    connections_answer(s->connections, asked->connection, &answer);
}

void station_answer_waiting(struct station *s)
{
    pthread_mutex_lock(&s->lock);
    struct asked *first = s->first;
    s->first = NULL;
    s->end = &s->first;
    s->waiting = s->waiting_bytes = 0;
    pthread_mutex_unlock(&s->lock);
    while (first) {
        struct asked *next = first->next;
        refuse_asked(s, first);
        asked_free(first);
        first = next;
    }
}

bool station_is_full(struct station *s)
{
    pthread_mutex_lock(&s->lock);
    bool full = s->waiting >= STATION_WAITING_MAX || s->waiting_bytes >= STATION_BYTES_MAX;
    pthread_mutex_unlock(&s->lock);
    return full;
}

static void fill_health(struct station *s, struct wire_health *ret)
{
    *ret = s->counted;
    ret->token = ret->ledger = station_signs(s);
    ret->queue = s->pipeline ? pipeline_load(s->pipeline) : 0;
    pthread_mutex_lock(&s->lock);
    ret->queue += s->waiting;
    ret->waiting = s->looked.waiting;
    ret->crl_this_update = s->looked.crl_this_update;
    ret->crl_next_update = s->looked.crl_next_update;
    ret->horizon = s->looked.horizon;
    pthread_mutex_unlock(&s->lock);
}

/* What is known without ledger and token. */
static void answer_at_once(struct station *s, uint64_t connection, const struct wire_question *q)
{
    struct wire_answer PC_CLEANUP(wire_answer_clear) answer = {.number = q->number, .kind = q->kind};
    if (*q->label && strcmp(q->label, pki_profile_device.name) != 0)
        say_refused(&(struct ca_failure){.name = "station-label"}, &answer);
    else if (q->kind == WIRE_HEALTH)
        fill_health(s, &answer.health);
    else if (q->kind == WIRE_ATTRIBUTES)
        answer.binding_required = s->options->binding;
    else if (pc_bytes_copy(s->trust.data, s->trust.len, &answer.certificates[0]) == 0)
        answer.count = 1;
    else
        say_unavailable(s, &answer);
    connections_answer(s->connections, connection, &answer);
}

static int queue_asked(struct station *s, uint64_t connection, struct wire_question *question)
{
    struct asked *asked = calloc(1, sizeof *asked);
    if (!asked)
        return pc_fail(PC_EFAIL, "out of memory");
    asked->connection = connection;
    asked->question = *question;
    *question = (struct wire_question){0};
    pthread_mutex_lock(&s->lock);
    *s->end = asked;
    s->end = &asked->next;
    s->waiting++;
    s->waiting_bytes += asked->question.csr.len + asked->question.certificate.len;
    pthread_mutex_unlock(&s->lock);
    pipeline_wake(s->pipeline, false);
    return 0;
}

/* A network service asks at its start and then each few days: one that asks on and on gets no heap of
 * certificates. */
static bool may_serve(struct station *s)
{
    int64_t now = pipeline_clock(), since = s->servers_at ? now - s->servers_at : SERVERS * SERVER_AFTER;
    s->servers += since / SERVER_AFTER;
    if (s->servers > SERVERS)
        s->servers = SERVERS;
    if (since >= SERVER_AFTER)
        s->servers_at = now;
    return s->servers > 0 && s->servers-- > 0;
}

static bool is_for_a_certificate(enum wire_kind kind)
{
    return kind == WIRE_ENROL || kind == WIRE_REENROL || kind == WIRE_SERVER;
}

void station_ask(struct station *s, uint64_t connection, struct wire_question *question)
{
    struct wire_question PC_CLEANUP(wire_question_clear) q = *question;
    *question = (struct wire_question){0};
    if (!is_for_a_certificate(q.kind)) {
        answer_at_once(s, connection, &q);
        return;
    }
    if (station_signs(s) && (q.kind != WIRE_SERVER || may_serve(s)) && queue_asked(s, connection, &q) == 0)
        return;
    const struct asked asked = {.connection = connection, .question = {.number = q.number, .kind = q.kind}};
    refuse_asked(s, &asked);
}
