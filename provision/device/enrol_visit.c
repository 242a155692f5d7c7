/* The conversation with the station, and what of its answers is believed. When to come again is enrol.c's. */
#include "provision/device/enrol_visit.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/pem.h>

#include "provision/device/check.h"
#include "provision/device/salvage.h"
#include "provision/device/verify.h"
#include "src/base/code.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/base/time.h"
#include "src/pki/bundle.h"
#include "src/pki/certificate.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"

#define REQUEST_MAX 60   /* seconds for one request, so that there is time for another */
#define BOUND_ATTEMPTS 3 /* connections that a station may close under a request that is bound to it */

static void chain_free_ref(STACK_OF(X509) * *chain)
{
    pki_chain_free(*chain);
}

void dev_visit_close(struct dev_visit *visit)
{
    pki_chain_free(visit->trust);
    pki_chain_free(visit->anchors);
    X509_free(visit->shown);
    pki_chain_free(visit->behind);
    pc_bytes_clear(&visit->key);
    *visit = (struct dev_visit){0};
}

/* --- what is held --- */

int dev_visit_fit(const struct dev_enrol_order *order)
{
    if (!order->url || !*order->url)
        return pc_fail_named(PC_EUSAGE, "station-url", "which station? give --url, or set [station] url");
    return order->unfit ? pc_fail_named(PC_EUSAGE, "station-trust", "%s", order->unfit) : 0;
}

static int parse_given(const struct pc_bytes *pem, const char *what, STACK_OF(X509) * *ret)
{
    return pki_chain_parse(pem->data, pem->len, ret) < 0 ? pc_fail_in("%s", what) : 0;
}

static int read_trust(const struct dev_enrol_order *order, const struct dev_installed *installed,
                      struct dev_visit *visit)
{
    const struct pc_bytes *held =
        installed->set.ca.len && !installed->record.legacy ? &installed->set.ca : NULL;
    const struct pc_bytes *trust = order->trust ? order->trust : held;
    const struct pc_bytes *ca = order->ca ? order->ca : held ? held : trust;
    if (!trust)
        return pc_fail_named(PC_EUSAGE, "station-trust",
                             "no trust anchor is installed yet: which one stands behind the station's "
                             "certificate? give --trust FILE, or set [station] trust");
    visit->pinned = ca == held;
    if (trust == held)
        dev_path(visit->trust_name, "%s/ca.crt", visit->dev->settings.dir);
    else
        snprintf(visit->trust_name, sizeof visit->trust_name, "%s",
                 order->trust_name ? order->trust_name : "[station] trust");
    if (pki_chain_parse(trust->data, trust->len, &visit->trust) < 0)
        return pc_fail_named(PC_EUSAGE, "station-trust", "%s: no trust anchor of the station: %s",
                             visit->trust_name, pc_error_text());
    return parse_given(ca, "trust anchor", &visit->anchors);
}

/* Since an anchor that is held exists, its notBefore is past. */
static int64_t latest_begin(const STACK_OF(X509) * anchors)
{
    int64_t latest = 0, from, until;
    for (int i = 0; i < sk_X509_num(anchors); i++)
        if (pki_certificate_dates(sk_X509_value(anchors, i), &from, &until) == 0 && from > latest)
            latest = from;
    return latest;
}

static int read_clock(struct dev_visit *visit, const struct dev_installed *installed)
{
    char now[PC_TIME_TEXT], at[PC_TIME_TEXT];
    int r = dev_verify_clock(visit->dev, installed, visit->trust, &visit->clock);
    if (r < 0)
        return r;
    const struct dev_clock *clock = &visit->clock;
    int64_t begin = latest_begin(visit->trust);
    visit->clock_unknown = clock->behind || clock->implausible || clock->now < begin;
    visit->at = clock->at > begin ? clock->at : begin;
    if (!visit->clock_unknown)
        return 0;
    pc_time_format(clock->now, now);
    pc_time_format(visit->at, at);
    pc_log(PC_LOG_WARNING,
           "the clock says %s, which cannot be: the station's certificate is judged by %s, and may "
           "begin later",
           now, at);
    return 0;
}

/* The certificate that a renewal shows. */
static int read_shown(const struct dev_installed *installed, enum dev_enrol_way way, struct dev_visit *visit)
{
    if (way != DEV_ENROL_RENEW && way != DEV_ENROL_REKEY)
        return 0;
    if (!installed->leaf || !installed->key)
        return pc_refuse("key-legacy",
                         "the installed certificate has no key in the TPM with which it could be shown: "
                         "'plantcert enroll --anew' asks without it");
    int r = pki_chain_parse(installed->set.certificate.data, installed->set.certificate.len, &visit->behind);
    if (r < 0)
        return r;
    visit->shown = sk_X509_shift(visit->behind);
    return pc_bytes_copy(installed->set.key.data, installed->set.key.len, &visit->key);
}

/* Before anything is sent: what can be no code need not be tried. */
static int check_code(const struct dev_enrol_order *order, enum dev_enrol_way way)
{
    char digits[PC_CODE_DIGITS + 1];
    if (!order->code || way == DEV_ENROL_RENEW || way == DEV_ENROL_REKEY)
        return 0;
    int r = pc_code_read(order->code->data, order->code->len, digits);
    OPENSSL_cleanse(digits, sizeof digits);
    return r < 0 ? pc_fail_in("the code") : 0;
}

int dev_visit_open(struct dev *dev, const struct dev_enrol_order *order, enum dev_enrol_way way,
                   struct dev_visit *ret)
{
    struct dev_visit PC_CLEANUP(dev_visit_close) visit = {.dev = dev, .order = order};
    dev_autoinstalled installed = {0};
    int r = dev_visit_fit(order);
    if (r == 0)
        r = check_code(order, way);
    if (r == 0)
        r = dev_salvage_read(dev->settings.dir, &installed);
    if (r == 0)
        r = read_trust(order, &installed, &visit);
    if (r == 0)
        r = read_clock(&visit, &installed);
    if (r == 0)
        r = read_shown(&installed, way, &visit);
    if (r < 0)
        return r;
    *ret = visit;
    visit = (struct dev_visit){0};
    return 0;
}

int dev_visit_connect(const struct dev_visit *visit, unsigned timeout, EVP_PKEY **ret_key,
                      struct est_client **ret)
{
    const struct dev_enrol_order *order = visit->order;
    struct dev *dev = visit->dev;
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = NULL;
    int r = visit->shown ? dev_key_open(dev, &visit->key, &key) : 0;
    if (r < 0)
        return r;
    struct est_client_options options = {
        .url = order->url,
        .label = order->label,
        .anchors = visit->trust,
        .anchors_name = visit->trust_name,
        .at = visit->at,
        .clock_unknown = visit->clock_unknown,
        .certificate = visit->shown,
        .chain = visit->behind,
        .key = key,
        .user = visit->shown ? NULL : dev->settings.plant,
        .password = visit->shown ? NULL : order->code,
        .timeout = timeout < REQUEST_MAX ? timeout : REQUEST_MAX,
        .whole = timeout,
    };
    r = est_client_open(&options, ret);
    if (r == 0)
        *ret_key = pc_steal(key);
    return r;
}

/* --- what is believed --- */

/* On the first install: what the operator gave and the station names, too. */
static int choose_anchors(const struct dev_visit *visit, const STACK_OF(X509) * offered,
                          STACK_OF(X509) * *ret)
{
    PC_CLEANUP(chain_free_ref) STACK_OF(X509) *chosen = sk_X509_new_null();
    for (int i = 0; chosen && i < sk_X509_num(visit->anchors); i++) {
        X509 *anchor = sk_X509_value(visit->anchors, i);
        if (!visit->pinned && !dev_anchors_hold(offered, anchor))
            continue;
        if (X509_up_ref(anchor) != 1 || sk_X509_push(chosen, anchor) <= 0)
            return pc_fail(PC_EFAIL, "out of memory");
    }
    if (sk_X509_num(chosen) < 1)
        return pc_refuse("enrol-anchor",
                         "none of the trust anchors given (--ca, --trust) is one of the station's CA: what "
                         "only came over the network is not trusted");
    *ret = pc_steal(chosen);
    return 0;
}

static int read_anchors(struct dev_visit *visit, struct est_client *client, STACK_OF(X509) * *ret_offered,
                        STACK_OF(X509) * *ret_anchors)
{
    int r = est_client_cacerts(client, ret_offered);
    /* With anchors of its own a renewal needs none of these. */
    if (r == PC_EREFUSED && visit->pinned && strcmp(pc_error_name(), "station-certificate") != 0) {
        pc_log(PC_LOG_WARNING, "%s", pc_error_text());
        *ret_offered = sk_X509_new_null();
        r = *ret_offered ? 0 : pc_fail(PC_EFAIL, "out of memory");
    }
    if (r == 0)
        r = choose_anchors(visit, *ret_offered, ret_anchors);
    return r < 0 ? r : dev_anchors_extend(*ret_anchors, *ret_offered, visit->at);
}

static int to_der(const struct pc_bytes *pem, struct pc_bytes *ret)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *in = BIO_new_mem_buf(pem->data, (int)pem->len);
    PC_CLEANUP(X509_REQ_free_ref) X509_REQ *request = in ? PEM_read_bio_X509_REQ(in, NULL, NULL, NULL) : NULL;
    pki_autoder *der = NULL;
    int len = request ? i2d_X509_REQ(request, &der) : -1;
    return len > 0 ? pc_bytes_copy(der, (size_t)len, ret) : pc_fail_openssl(PC_EFAIL, "the request");
}

/* One request, over the connection that it is bound to where the station wants that. */
static int ask_once(struct dev_visit *visit, struct est_client *client, bool binding,
                    struct dev_enrol_report *report, X509 **ret)
{
    char challenge[EST_BINDING_TEXT];
    pc_autobytes pem = {0}, der = {0};
    bool again = report->way == DEV_ENROL_RENEW || report->way == DEV_ENROL_REKEY;
    int r = binding ? est_client_binding(client, challenge) : 0;
    if (r == 0)
        r = dev_enrol_request(visit->dev, binding ? challenge : NULL, report, &pem);
    if (r == 0)
        r = to_der(&pem, &der);
    return r < 0 ? r : est_client_enrol(client, again, &der, ret);
}

static int ask(struct dev_visit *visit, struct est_client *client, struct dev_enrol_report *report,
               X509 **ret)
{
    struct est_attributes wanted = {0};
    int r = est_client_attributes(client, &wanted);
    if (r < 0)
        return r;
    for (int attempt = 1;; attempt++) {
        r = ask_once(visit, client, wanted.binding, report, ret);
        if (r != PC_EUNREACH || strcmp(pc_error_name(), "station-connection") != 0 ||
            attempt == BOUND_ATTEMPTS)
            return r;
    }
}

static int install(struct dev_visit *visit, X509 *leaf, const STACK_OF(X509) * offered,
                   const STACK_OF(X509) * anchors, struct dev_enrol_report *report)
{
    pc_autobytes chain = {0}, ca = {0};
    bool same = visit->pinned && sk_X509_num(anchors) == sk_X509_num(visit->anchors);
    int r = dev_chain_complete(leaf, offered, anchors, &chain);
    if (r == 0)
        r = dev_certificates_pem(anchors, &ca);
    const struct dev_delivery delivery = {.chain = &chain, .ca = same ? NULL : &ca};
    if (r == 0)
        r = dev_install(visit->dev, &delivery, &report->install);
    if (r < 0)
        return pc_fail_in("the station's answer");
    report->installed = true;
    return 0;
}

static int converse(struct dev_visit *visit, struct est_client *client, struct dev_enrol_report *report)
{
    PC_CLEANUP(chain_free_ref) STACK_OF(X509) *offered = NULL;
    PC_CLEANUP(chain_free_ref) STACK_OF(X509) *anchors = NULL;
    X509 *PC_CLEANUP(X509_free_ref) leaf = NULL;
    int r = read_anchors(visit, client, &offered, &anchors);
    if (r == 0)
        r = ask(visit, client, report, &leaf);
    report->retry_after = est_client_retry_after(client);
    return r < 0 ? r : install(visit, leaf, offered, anchors, report);
}

int dev_visit_make(struct dev_visit *visit, unsigned timeout, struct dev_enrol_report *report)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = NULL;
    PC_CLEANUP(est_client_close_ref) struct est_client *client = NULL;
    struct prov_session *session;
    report->retry_after = 0;
    int r = dev_visit_connect(visit, timeout, &key, &client);
    if (r < 0)
        return r;
    r = converse(visit, client, report);
    session = visit->dev->session;
    /* A handshake that the TPM did not sign looks like one that the station cut off. */
    int fault = r < 0 && session ? prov_fault_take(session) : 0;
    return fault < 0 ? pc_fail_in("the request to the station") : r;
}
