/* A question on its way into the pipeline: judged by its bytes alone, before anything is opened. */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provision/station/signer/station.h"
#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/openssl.h"

void asked_free(struct asked *asked)
{
    if (!asked)
        return;
    wire_question_clear(&asked->question);
    free(asked);
}

int ask_next(void *context, struct work *work)
{
    struct station *s = context;
    pthread_mutex_lock(&s->lock);
    struct asked *asked = s->first;
    if (asked) {
        s->first = asked->next;
        if (!s->first)
            s->end = &s->first;
        s->waiting--;
        s->waiting_bytes -= asked->question.csr.len + asked->question.certificate.len;
        ask_of(work)->asked = asked;
    }
    pthread_mutex_unlock(&s->lock);
    return asked != NULL;
}

const char *ask_name(const struct work *work)
{
    return ask_of_const(work)->who;
}

void ask_clear(struct work *work)
{
    asked_free(ask_of(work)->asked);
}

static int judge_label(const struct wire_question *q)
{
    if (*q->label && strcmp(q->label, pki_profile_device.name) != 0)
        return pc_refuse("station-label", "no such label");
    return 0;
}

/* The request must come from the TLS session that it came through (RFC 7030 §3.5). */
static int judge_binding(const struct station *s, const struct wire_question *q,
                         const struct pki_request *request)
{
    size_t len = strlen(q->binding);
    if (!*request->challenge)
        return s->options->binding
                   ? pc_refuse("binding-missing", "the request has no challengePassword that links it to its "
                                                  "TLS session (RFC 7030 §3.5)")
                   : 0;
    if (len == 0 || strlen(request->challenge) != len ||
        CRYPTO_memcmp(request->challenge, q->binding, len) != 0)
        return pc_refuse("binding-mismatch", "the request's challengePassword is not this TLS session's "
                                             "(RFC 7030 §3.5)");
    return 0;
}

static int parse(struct work *work, const struct wire_question *q, const struct pki_request_rules *rules)
{
    int r = pki_request_parse(q->csr.data, q->csr.len, rules, &work->request);
    char sha256[PKI_FINGERPRINT_TEXT];
    if (r == 0) {
        memcpy(work->request_sha256, work->request->request_sha256, sizeof work->request_sha256);
        pc_bytes_clear(&work->request->der);
        return 0;
    }
    struct ca_failure failure;
    ca_failure_keep(r, &failure);
    /* Of the bytes as they came: there is no request yet. */
    if (pki_digest_hex(q->csr.data, q->csr.len, sha256) == 0)
        memcpy(work->request_sha256, sha256, sizeof sha256);
    return ca_failure_again(&failure);
}

static void prepare(struct work *work, const struct pki_profile *profile, int64_t days)
{
    work->enrolment = (struct enrolment){
        .asked = {.revoke_old = -1},
        .days = days,
        .issuance = {.plan = {.profile = profile, .subject_key = work->request->key, .cn = work->request->cn},
                     .cn = work->request->cn,
                     .request_sha256 = work->request_sha256},
    };
}

static int judge_device(struct station *s, struct ask *ask, const char *plant)
{
    const struct wire_question *q = &ask->asked->question;
    const struct pki_request_rules rules = {.profile = &pki_profile_device,
                                            .plant = plant,
                                            .issuer_key = s->ca->public_key,
                                            .issuer = s->ca->certificate};
    int r = parse(&ask->work, q, &rules);
    if (r < 0)
        return r;
    snprintf(ask->who, sizeof ask->who, "%s: %s", q->from, ask->work.request->cn);
    r = judge_binding(s, q, ask->work.request);
    if (r == 0)
        prepare(&ask->work, &pki_profile_device, s->ca->settings->device_days);
    return r;
}

static int judge_enrol(struct station *s, struct ask *ask)
{
    const char *user = ask->asked->question.user;
    return judge_device(s, ask, *user ? user : NULL);
}

/* What the network service says to have seen at the client's end of the TLS session. Whether it is on record,
 * and good for this, is for the transaction to tell. */
static int judge_presented(const struct station *s, struct ask *ask, char **ret_plant)
{
    const struct wire_question *q = &ask->asked->question;
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    struct pki_serial serial;
    if (q->certificate.len == 0)
        return pc_refuse("reenrol-certificate", "re-enrolment needs a client certificate");
    int r = pki_certificate_parse(q->certificate.data, q->certificate.len, &certificate);
    if (r < 0)
        return pc_refuse("reenrol-foreign", "no certificate of this CA");
    if (X509_verify(certificate, s->ca->public_key) != 1) {
        ERR_clear_error();
        return pc_refuse("reenrol-foreign", "not a certificate of this CA");
    }
    r = pki_serial_of(certificate, &serial);
    if (r == 0)
        r = pki_certificate_fingerprint(certificate, ask->presented_sha256);
    if (r == 0)
        r = pki_name_cn(X509_get_subject_name(certificate), ret_plant);
    if (r == 0)
        pki_serial_format(&serial, ask->presented);
    return r;
}

static int judge_reenrol(struct station *s, struct ask *ask)
{
    pc_autofree char *plant = NULL;
    int r = judge_presented(s, ask, &plant);
    if (r == 0 && !pki_uuid_is_canonical(plant))
        r = pc_refuse("reenrol-profile", "not a plant's certificate");
    return r < 0 ? r : judge_device(s, ask, plant);
}

static int judge_server(struct station *s, struct ask *ask)
{
    const struct wire_question *q = &ask->asked->question;
    const struct pki_request_rules rules = {.profile = &pki_profile_station,
                                            .host = WIRE_STATION_CN,
                                            .hosts = s->hosts,
                                            .issuer_key = s->ca->public_key,
                                            .issuer = s->ca->certificate};
    int r = parse(&ask->work, q, &rules);
    if (r < 0)
        return r;
    prepare(&ask->work, &pki_profile_station, s->options->server_life / PC_DAY + 1);
    ask->work.enrolment.issuance.plan.hosts = s->hosts;
    ask->work.enrolment.issuance.at_most = s->options->server_life;
    ask->work.enrolment.asked.replace_any = true;
    return 0;
}

int ask_judge(void *context, struct work *work)
{
    struct station *s = context;
    struct ask *ask = ask_of(work);
    const struct wire_question *q = &ask->asked->question;
    snprintf(ask->who, sizeof ask->who, "%s", *q->from ? q->from : "the station");
    int r = judge_label(q);
    if (r == 0)
        r = q->kind == WIRE_SERVER    ? judge_server(s, ask)
            : q->kind == WIRE_REENROL ? judge_reenrol(s, ask)
                                      : judge_enrol(s, ask);
    if (r == PC_EREFUSED && refusal_counts(s, ask, pc_error_name()))
        work->refused_act = "request";
    return r;
}
