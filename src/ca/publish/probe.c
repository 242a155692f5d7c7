/* The probe: a broker is asked over the wire whether it accepts what is good and refuses what is revoked. A
 * broker that fails open looks like a healthy one in every other way. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "src/ca/guard.h"
#include "src/ca/publish/publication.h"
#include "src/mqtt/probe.h"
#include "src/pki/openssl.h"

#define GOOD_CN "plantca-probe"
#define CANARY_CN "plantca-canary"
#define GOOD_SECONDS 3600
#define CANARY_LEFT (30 * PC_DAY) /* a new one is made when the old one ends within this */
#define KEY_MAX 65536             /* bytes of the canary's key file */
#define ASK_FOR 5                 /* seconds that a broker may take to read its files again */
#define ANSWER_WITHIN 5           /* seconds for one answer */
#define RIGHT_ANSWERS 5           /* in a row: the first ones may come before the reload */
#define PAUSE_NS 200000000L       /* between two questions */

void probe_clear(struct probe *probe)
{
    X509_free(probe->good);
    X509_free(probe->canary);
    EVP_PKEY_free(probe->good_key);
    EVP_PKEY_free(probe->canary_key);
    free(probe->host);
    *probe = (struct probe){0};
}

/* "host:port"; the settings have been checked already, an option has not. */
static int read_address(const char *address, struct probe *probe)
{
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtol(colon + 1, &end, 10) : 0;
    if (!colon || colon == address || port < 1 || port > UINT16_MAX || *end)
        return pc_fail(PC_EUSAGE, "'%.100s' is no host:port to probe", address);
    bool bracketed = address[0] == '[' && colon[-1] == ']';
    probe->host = strndup(address + bracketed, (size_t)(colon - address) - (bracketed ? 2 : 0));
    probe->port = (uint16_t)port;
    return probe->host ? 0 : pc_fail(PC_EFAIL, "out of memory");
}

static int new_key(EVP_PKEY **ret)
{
    *ret = EVP_EC_gen("P-256");
    return *ret ? 0 : pc_fail_openssl(PC_EFAIL, "key for the probe");
}

/* What an earlier run left unfinished gives way, unless it is still at it. */
static int make_room(struct ca *ca, const char *cn, int64_t *ret_predecessor)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query query = {.subject = cn,
                                       .profile = pki_profile_probe.name,
                                       .states = LEDGER_UNFINISHED | LEDGER_BIT(LEDGER_CURRENT)};
    int r = ledger_collect(ca->ledger, &query, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++) {
        const struct ledger_certificate *row = &rows.rows[i];
        bool lives = false;
        if (row->state == LEDGER_CURRENT) {
            *ret_predecessor = row->id;
            continue;
        }
        r = ca->ledger->ops->owner_lives(ca->ledger, row->owner, &lives);
        if (r == 0 && lives)
            r = pc_fail(PC_EPENDING, "another process is making a certificate for %s", cn);
        if (r == 0)
            r = issuance_void(ca, row);
    }
    return r;
}

static int record(struct ca *ca, struct issuance *issuance)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = make_room(ca, issuance->cn, &issuance->predecessor);
    if (r == 0)
        r = issuance_record(ca, issuance);
    return r < 0 ? r : ca_commit(ca, &open);
}

/* A certificate with the profile "probe", by the one way in which certificates come to be. */
static int issue(struct ca *ca, const char *cn, EVP_PKEY *key, int64_t days, int64_t seconds,
                 int64_t *ret_row)
{
    struct issuance PC_CLEANUP(issuance_clear) issuance = {
        .plan = {.profile = &pki_profile_probe, .subject_key = key, .cn = cn},
        .cn = cn,
        .revoke_old = -1,
        .at_most = seconds,
    };
    int r = issuance_plan(ca, &issuance, days);
    if (r == 0)
        r = record(ca, &issuance);
    if (r == 0)
        r = issuance_complete(ca, &issuance);
    if (r == 0)
        *ret_row = issuance.row;
    return r;
}

static int load(struct ca *ca, int64_t row, X509 **ret)
{
    pc_autobytes der = {0};
    int r = ca->ledger->ops->body(ca->ledger, row, NULL, &der);
    return r < 0 ? r : pki_certificate_parse(der.data, der.len, ret);
}

static int make_good(struct ca *ca, struct probe *probe)
{
    int64_t row;
    int r = new_key(&probe->good_key);
    if (r == 0)
        r = issue(ca, GOOD_CN, probe->good_key, 1, GOOD_SECONDS, &row);
    return r < 0 ? r : load(ca, row, &probe->good);
}

/* NULL where there is no key, or none that can be read: another is made then. */
static EVP_PKEY *read_key(const char *path)
{
    pc_autobytes pem = {0};
    if (!pc_file_exists(path) || pc_file_read(path, KEY_MAX, &pem) < 0)
        return NULL;
    PC_CLEANUP(BIO_free_all_ref)
    BIO *in = BIO_new_mem_buf(pem.data ? (const void *)pem.data : "", (int)pem.len);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)(uintptr_t) "") : NULL;
    OPENSSL_cleanse(pem.data, pem.len);
    return key;
}

static int write_key(const char *path, EVP_PKEY *key)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *out = BIO_new(BIO_s_secmem());
    char *pem = NULL;
    if (!out || PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
        return pc_fail_openssl(PC_EFAIL, "%s", path);
    long len = BIO_get_mem_data(out, &pem);
    return pc_file_write(path, pem, (size_t)len, &(struct pc_file_options){.mode = 0600});
}

/* The row of the canary that has this key and is fit for use; 0 when there is none. A canary that was issued
 * and not yet revoked (the run ended in between) is revoked now. */
static int find_canary(struct ca *ca, EVP_PKEY *key, struct ledger_certificate *ret)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    char sha256[PKI_FINGERPRINT_TEXT];
    const struct ledger_query query = {.subject = CANARY_CN,
                                       .profile = pki_profile_probe.name,
                                       .key_sha256 = sha256,
                                       .states = LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_REVOKED),
                                       .ends_after = pc_now() + CANARY_LEFT};
    int r = pki_key_fingerprint(key, sha256);
    if (r == 0)
        r = ledger_collect(ca->ledger, &query, &rows);
    if (r == 0)
        *ret = rows.count ? rows.rows[rows.count - 1] : (struct ledger_certificate){0};
    return r;
}

static int revoke(struct ca *ca, const struct ledger_certificate *row)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = issuance_revoke(ca, row, CRL_REASON_CESSATION_OF_OPERATION, 0);
    return r < 0 ? r : ca_commit(ca, &open);
}

static int make_canary(struct ca *ca, const char *path, struct probe *probe, struct ledger_certificate *ret)
{
    int64_t row;
    EVP_PKEY_free(pc_steal(probe->canary_key));
    int r = new_key(&probe->canary_key);
    if (r == 0)
        r = write_key(path, probe->canary_key);
    if (r == 0)
        r = issue(ca, CANARY_CN, probe->canary_key, ca->settings->days, 0, &row);
    return r < 0 ? r : ledger_row_get(ca->ledger, row, ret);
}

static int have_canary(struct ca *ca, struct probe *probe)
{
    pc_autofree char *path = NULL;
    struct ledger_certificate row = {0};
    int r = ca_state_path(ca->settings, "canary.key", &path);
    if (r < 0)
        return r;
    probe->canary_key = read_key(path);
    if (probe->canary_key)
        r = find_canary(ca, probe->canary_key, &row);
    if (r == 0 && row.id == 0)
        r = make_canary(ca, path, probe, &row);
    if (r == 0 && row.state == LEDGER_CURRENT)
        r = revoke(ca, &row);
    return r < 0 ? r : load(ca, row.id, &probe->canary);
}

int probe_prepare(struct ca *ca, const char *address, struct probe *ret)
{
    struct probe PC_CLEANUP(probe_clear) probe = {0};
    int r = read_address(address, &probe);
    if (r == 0)
        r = ca_signing_key(ca);
    if (r == 0)
        r = guard_check(ca);
    if (r == 0)
        r = have_canary(ca, &probe);
    if (r == 0)
        r = make_good(ca, &probe);
    if (r < 0)
        return r;
    *ret = probe;
    probe = (struct probe){0};
    return 0;
}

/* One answer: PC_EREFUSED with the name of what is wrong when it is not the one that it should be. */
static int ask_one(const struct probe *probe, const struct bundle *bundle, bool canary)
{
    enum mqtt_answer answer;
    char text[256];
    const struct mqtt_probe question = {
        .host = probe->host,
        .port = probe->port,
        .anchors = bundle->certificates,
        .certificate = canary ? probe->canary : probe->good,
        .key = canary ? probe->canary_key : probe->good_key,
        .client_id = canary ? CANARY_CN : GOOD_CN,
        .timeout = ANSWER_WITHIN,
    };
    int r = mqtt_probe(&question, &answer, text);
    if (r < 0)
        return r;
    if (canary && answer == MQTT_ACCEPTED)
        return pc_refuse("publish-open",
                         "the broker at %s:%u FAILS OPEN: it let a revoked certificate in (the canary, which "
                         "stands on the published CRL). Whoever was revoked can connect: see that it reads "
                         "ca/ca.crl (crlfile, its permissions) and reload or stop it",
                         probe->host, probe->port);
    if (!canary && answer == MQTT_REFUSED)
        return pc_refuse(
            "publish-closed",
            "the broker at %s:%u refuses a good certificate, as it may refuse the whole fleet: %s",
            probe->host, probe->port, text);
    return 0;
}

static int ask_both(const struct probe *probe, const struct bundle *bundle)
{
    int r = ask_one(probe, bundle, true);
    return r < 0 ? r : ask_one(probe, bundle, false);
}

int probe_ask(struct ca *ca, const struct probe *probe, const struct bundle *bundle)
{
    int64_t until = pc_now() + ASK_FOR;
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    int r = ask_both(probe, bundle), right = r == 0;
    while (r != PC_EFAIL && right < RIGHT_ANSWERS && (r == 0 || pc_now() < until)) {
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        r = ask_both(probe, bundle);
        right = r == 0 ? right + 1 : 0;
    }
    if (r == PC_EREFUSED)
        return ca_audit_refusal(ca, &(struct audit_act){.act = "publish", .note = probe->host});
    return r < 0 ? pc_fail_in("everything is published, but it is not known what the broker makes of it") : 0;
}
