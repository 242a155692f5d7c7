/* Issuing on request: the request is judged, identity decides, issuance records and signs. Shared by plants
 * and the broker. */
#include "src/ca/issue.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/enrol.h"
#include "src/ca/internal.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"
#include "src/pki/request.h"

void ca_issued_clear(struct ca_issued *issued)
{
    pc_bytes_clear(&issued->chain_pem);
    *issued = (struct ca_issued){0};
}

/* Serials are compared as text: bring the operator's into the one form. */
static int canonical_serial(const char *text, char ret[PKI_SERIAL_TEXT])
{
    struct pki_serial serial;
    int r = pki_serial_parse(text, &serial);
    if (r == 0)
        pki_serial_format(&serial, ret);
    return r;
}

static int judge_request(struct ca *ca, const struct pc_bytes *csr, const struct pki_request_rules *rules,
                         const char *subject, struct pki_request **ret)
{
    int r = pki_request_parse(csr->data, csr->len, rules, ret);
    if (r != PC_EREFUSED)
        return r;
    char sha256[PKI_FINGERPRINT_TEXT];
    struct ca_failure failure;
    ca_failure_keep(r, &failure);
    r = pki_digest_hex(csr->data, csr->len, sha256);
    if (r < 0)
        return r;
    (void)ca_failure_again(&failure);
    return ca_audit_refusal(ca, &(struct audit_act){
                                    .act = "request",
                                    .profile = rules->profile->name,
                                    .subject = subject,
                                    .request_sha256 = sha256,
                                });
}

int ca_sign(struct ca *ca, const struct pc_bytes *csr, const struct ca_sign_options *options,
            struct ca_issued *ret)
{
    char replace[PKI_SERIAL_TEXT];
    struct pki_request *request PC_CLEANUP(pki_request_free_ref) = NULL;
    int r = pki_uuid_check(options->plant);
    if (r == 0 && options->replace)
        r = canonical_serial(options->replace, replace);
    if (r == 0 && options->revoke_old == CRL_REASON_CERTIFICATE_HOLD)
        r = pc_fail(PC_EUSAGE, "certificateHold is not a reason that ends an overlap");
    if (r < 0)
        return r;
    const struct pki_request_rules rules = {.profile = &pki_profile_device,
                                            .plant = options->plant,
                                            .issuer_key = ca->public_key,
                                            .issuer = ca->certificate};
    r = judge_request(ca, csr, &rules, options->plant, &request);
    if (r < 0)
        return r;
    struct enrolment enrolment = {
        .asked = {.renew = options->renew,
                  .replace = options->replace ? replace : NULL,
                  .revoke_old = options->revoke_old},
        .days = ca->settings->device_days,
        .issuance = {.plan = {.profile = &pki_profile_device, .subject_key = request->key, .cn = request->cn},
                     .cn = request->cn,
                     .request_sha256 = request->request_sha256},
    };
    return enrol(ca, &enrolment, ret);
}

/* The names of the certificate that is current for this host, against those wanted now. */
static int names_differ(struct ca *ca, const char *host, const GENERAL_NAMES *wanted, bool *ret)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    pc_autobytes der = {0};
    const struct ledger_query query = {
        .subject = host, .profile = pki_profile_broker.name, .states = LEDGER_BIT(LEDGER_CURRENT)};
    int r = ledger_collect(ca->ledger, &query, &rows);
    if (r < 0 || rows.count == 0)
        return r;
    r = ca->ledger->ops->body(ca->ledger, rows.rows[0].id, NULL, &der);
    if (r == 0)
        r = pki_certificate_parse(der.data, der.len, &certificate);
    if (r < 0)
        return r;
    PC_CLEANUP(GENERAL_NAMES_free_ref)
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    pc_autofree char *before = NULL, *now = NULL;
    r = names ? pki_san_format(names, &before)
              : pc_fail_openssl(PC_EFAIL, "names of the current broker certificate");
    if (r == 0)
        r = pki_san_format(wanted, &now);
    if (r == 0)
        *ret = strcmp(before, now) != 0;
    return r;
}

/* Brokers know plants by their common name, in whatever case they compare it. */
static int refuse_plant_name(const char *cn)
{
    char lower[PKI_UUID_TEXT];
    size_t len = 0;
    for (; len + 1 < sizeof lower && cn[len]; len++)
        lower[len] = (char)tolower((unsigned char)cn[len]);
    lower[len] = '\0';
    if (cn[len] || !pki_uuid_is_canonical(lower))
        return 0;
    return pc_refuse("broker-plant", "%s: a plant's name is no name for a broker", cn);
}

int ca_broker(struct ca *ca, const struct ca_broker_options *options, struct ca_issued *ret)
{
    const char *cn = options->cn ? options->cn : ca->settings->broker_cn;
    PC_CLEANUP(GENERAL_NAMES_free_ref) GENERAL_NAMES *hosts = NULL;
    struct pki_request *request PC_CLEANUP(pki_request_free_ref) = NULL;
    int r = refuse_plant_name(cn);
    if (r == 0)
        r = pki_san_parse(options->san ? options->san : ca->settings->broker_san, &hosts);
    if (r == 0)
        r = pki_san_add(hosts, cn);
    if (r < 0)
        return r;
    const struct pki_request_rules rules = {.profile = &pki_profile_broker,
                                            .host = cn,
                                            .hosts = hosts,
                                            .issuer_key = ca->public_key,
                                            .issuer = ca->certificate};
    if (options->csr)
        r = judge_request(ca, options->csr, &rules, cn, &request);
    struct enrolment enrolment = {
        .asked = {.replace_any = true, .revoke_old = -1},
        .days = ca->settings->broker_days,
        .issuance = {.plan = {.profile = &pki_profile_broker,
                              .subject_key = request ? request->key : options->key,
                              .cn = cn,
                              .hosts = hosts},
                     .cn = cn,
                     .request_sha256 = request ? request->request_sha256 : NULL},
    };
    if (r == 0)
        r = names_differ(ca, cn, hosts, &enrolment.asked.names_differ);
    return r < 0 ? r : enrol(ca, &enrolment, ret);
}
