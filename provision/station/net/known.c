/* Topics on which the signer is asked at intervals; what it told stands until it tells otherwise. */
#include "provision/station/net/known.h"

#include <stdlib.h>
#include <string.h>

#include "provision/station/net/link.h"
#include "provision/station/net/tls.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/base/time.h"
#include "src/est/body.h"
#include "src/pki/certificate.h"
#include "src/pki/openssl.h"

#define SECOND UINT64_C(1000) /* of net_clock() */
#define AGAIN (5 * SECOND)    /* after a question that failed */
#define LATELY (60 * SECOND)

enum topic { TRUST, ATTRIBUTES, SERVER, HEALTH, TOPICS };

struct body {
    struct pc_bytes plain, wrapped;
};

struct subject {
    struct net_known *known;
    enum topic topic;
    uint64_t due;
    bool asked, had, failing;
};

struct net_known {
    struct net_service *service;
    void (*ready)(struct net_service *);
    struct event *tick;
    struct subject topics[TOPICS];
    struct body trust, attributes;
    EVP_PKEY *key; /* for which a certificate is asked */
    int64_t renew_at;
    struct wire_health health;
    uint64_t health_at;
};

/* --- what was told --- */

static void clear(struct body *body)
{
    pc_bytes_clear(&body->plain);
    pc_bytes_clear(&body->wrapped);
}

static int encode(const struct pc_bytes *der, struct body *ret)
{
    struct body PC_CLEANUP(clear) body = {0};
    int r = est_body_encode(der, false, &body.plain);
    if (r == 0)
        r = est_body_encode(der, true, &body.wrapped);
    if (r < 0)
        return r;
    clear(ret);
    *ret = body;
    body = (struct body){0};
    return 0;
}

static void free_chain(STACK_OF(X509) * *chain)
{
    sk_X509_pop_free(*chain, X509_free);
}

static int parse(const struct wire_answer *answer, STACK_OF(X509) * *ret)
{
    STACK_OF(X509) * PC_CLEANUP(free_chain) chain = sk_X509_new_null();
    for (size_t i = 0; chain && i < answer->count; i++) {
        X509 *certificate;
        int r =
            pki_certificate_parse(answer->certificates[i].data, answer->certificates[i].len, &certificate);
        if (r < 0)
            return r;
        if (!sk_X509_push(chain, certificate)) {
            X509_free(certificate);
            return pc_fail(PC_EFAIL, "out of memory");
        }
    }
    if (!chain)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret = pc_steal(chain);
    return 0;
}

static int take_trust(struct net_known *known, const struct wire_answer *answer)
{
    STACK_OF(X509) * PC_CLEANUP(free_chain) chain = NULL;
    struct body PC_CLEANUP(clear) body = {0};
    pc_autobytes der = {0};
    int r = parse(answer, &chain);
    if (r == 0)
        r = est_certs_build(answer->certificates, answer->count, &der);
    if (r == 0)
        r = encode(&der, &body);
    if (r < 0)
        return r;
    bool same = body.plain.len == known->trust.plain.len &&
                memcmp(body.plain.data, known->trust.plain.data, body.plain.len) == 0;
    if (same || (r = net_tls_set_trust(known->service->tls, chain)) < 0)
        return r;
    clear(&known->trust);
    known->trust = body;
    body = (struct body){0};
    return 0;
}

static int take_attributes(struct net_known *known, const struct wire_answer *answer)
{
    const struct est_attributes attributes = {
        .binding = answer->binding_required, .rsa_2048 = true, .ec_p256 = true};
    pc_autobytes der = {0};
    int r = est_attributes_build(&attributes, &der);
    return r < 0 ? r : encode(&der, &known->attributes);
}

static int take_server(struct net_known *known, const struct wire_answer *answer)
{
    STACK_OF(X509) * PC_CLEANUP(free_chain) chain = NULL;
    int64_t not_before, not_after;
    char until[PC_TIME_TEXT];
    int r = parse(answer, &chain);
    if (r == 0)
        r = pki_certificate_dates(sk_X509_value(chain, 0), &not_before, &not_after);
    if (r == 0)
        r = net_tls_set_certificate(known->service->tls, chain, known->key);
    if (r < 0)
        return r;
    int64_t now = pc_now();
    known->renew_at = now + (not_after - now) / 2;
    pc_time_format(not_after, until);
    pc_log(PC_LOG_NOTICE, "the station has a certificate until %s", until);
    return 0;
}

static int take_health(struct net_known *known, const struct wire_answer *answer)
{
    known->health = answer->health;
    known->health_at = net_clock();
    return 0;
}

/* --- what is asked --- */

static int ask_server(struct net_known *known, struct wire_question *question)
{
    EVP_PKEY_free(known->key);
    known->key = NULL;
    return net_tls_key(&known->key, &question->csr);
}

static const struct {
    enum wire_kind kind;
    const char *what;
    uint64_t every;
    int (*fill)(struct net_known *known, struct wire_question *question);
    int (*take)(struct net_known *known, const struct wire_answer *answer);
} about[TOPICS] = {
    [TRUST] = {WIRE_TRUST, "CA certificates", 60 * SECOND, NULL, take_trust},
    [ATTRIBUTES] = {WIRE_ATTRIBUTES, "attributes", 60 * SECOND, NULL, take_attributes},
    [SERVER] = {WIRE_SERVER, "certificate for the station", 60 * SECOND, ask_server, take_server},
    [HEALTH] = {WIRE_HEALTH, "health", 5 * SECOND, NULL, take_health},
};

static bool is_wanted(const struct net_known *known, enum topic topic)
{
    const struct net_settings *settings = known->service->settings;
    if (topic == HEALTH)
        return settings->metrics >= 0;
    if (topic == SERVER)
        return !settings->certificate && (!known->topics[SERVER].had || pc_now() >= known->renew_at);
    return true;
}

static void look_whether_ready(struct net_known *known)
{
    bool given = known->service->settings->certificate;
    if (known->ready && known->topics[TRUST].had && (given || known->topics[SERVER].had)) {
        void (*ready)(struct net_service *) = known->ready;
        known->ready = NULL;
        ready(known->service);
    }
}

static void on_answer(const struct wire_answer *answer, enum net_turned why, void *arg)
{
    struct subject *t = arg;
    struct net_known *known = t->known;
    enum topic topic = t->topic;
    (void)why;
    int r = PC_EUNREACH;
    if (answer && answer->outcome == WIRE_DONE)
        r = about[topic].take(known, answer);
    else
        pc_fail(PC_EUNREACH, "%s", answer ? answer->text : "no answer");
    t->asked = false;
    uint64_t wait = r < 0 && !t->had ? AGAIN : about[topic].every;
    t->due = net_clock() + (r == 0 && topic == SERVER ? 0 : wait); /* then renew_at says when */
    if (r < 0 && !t->failing)
        pc_log(PC_LOG_WARNING, "no %s of the signer: %s", about[topic].what, pc_error_text());
    t->failing = r < 0;
    t->had |= r == 0;
    look_whether_ready(known);
}

static void ask(struct net_known *known, enum topic topic)
{
    struct wire_question PC_CLEANUP(wire_question_clear) question = {.kind = about[topic].kind};
    enum net_turned why;
    int r = about[topic].fill ? about[topic].fill(known, &question) : 0;
    if (r == 0)
        r = net_link_ask(known->service->link, &question, on_answer, &known->topics[topic], &why);
    known->topics[topic].asked = r == 0;
    known->topics[topic].due = net_clock() + AGAIN;
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
    struct net_known *known = arg;
    uint64_t now = net_clock();
    (void)fd, (void)what;
    for (enum topic i = 0; i < TOPICS; i++)
        if (!known->topics[i].asked && now >= known->topics[i].due && is_wanted(known, i) &&
            net_link_is_up(known->service->link))
            ask(known, i);
    look_whether_ready(known);
}

void net_known_ask(struct net_known *known)
{
    for (enum topic i = 0; i < TOPICS; i++)
        known->topics[i].due = 0;
    tick(-1, 0, known);
}

int net_known_new(struct net_service *service, void (*ready)(struct net_service *), struct net_known **ret)
{
    PC_CLEANUP(net_known_free_ref) struct net_known *known = calloc(1, sizeof *known);
    const struct timeval often = {.tv_sec = 1};
    if (!known)
        return pc_fail(PC_EFAIL, "out of memory");
    known->service = service;
    known->ready = ready;
    for (enum topic i = 0; i < TOPICS; i++)
        known->topics[i] = (struct subject){.known = known, .topic = (enum topic)i};
    known->tick = event_new(service->base, -1, EV_PERSIST, tick, known);
    if (!known->tick || event_add(known->tick, &often) != 0)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret = pc_steal(known);
    return 0;
}

void net_known_free(struct net_known *known)
{
    if (!known)
        return;
    if (known->tick)
        event_free(known->tick);
    clear(&known->trust);
    clear(&known->attributes);
    EVP_PKEY_free(known->key);
    free(known);
}

static const struct pc_bytes *in_form(const struct body *body, bool wrapped)
{
    return body->plain.len == 0 ? NULL : wrapped ? &body->wrapped : &body->plain;
}

const struct pc_bytes *net_known_trust(const struct net_known *known, bool wrapped)
{
    return in_form(&known->trust, wrapped);
}

const struct pc_bytes *net_known_attributes(const struct net_known *known, bool wrapped)
{
    return in_form(&known->attributes, wrapped);
}

const struct wire_health *net_known_health(const struct net_known *known)
{
    return known->health_at && net_clock() - known->health_at < LATELY ? &known->health : NULL;
}
