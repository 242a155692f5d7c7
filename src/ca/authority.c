/* An authority that exists: opened, closed, summed up. Making one is in init.c. */
#include "src/ca/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"

#define LOCK_WAIT_MS 30000

int ca_state_path(const struct ca_settings *settings, const char *name, char **ret)
{
    char *path = pc_path_join(settings->state, name);
    if (!path)
        return pc_fail(PC_EFAIL, "out of memory");
    *ret = path;
    return 0;
}

int ca_lock(const struct ca_settings *settings, int *ret_fd)
{
    pc_autofree char *path = NULL;
    int r = ca_state_path(settings, "lock", &path);
    if (r == 0)
        r = pc_lock_take(path, LOCK_WAIT_MS, ret_fd);
    return r;
}

int ca_new(const struct ca_settings *settings, struct ledger **ledger, struct ca **ret)
{
    struct ca *ca = calloc(1, sizeof *ca);
    if (!ca)
        return pc_fail(PC_EFAIL, "out of memory");
    ca->settings = settings;
    ca->ledger = pc_steal(*ledger);
    *ret = ca;
    return 0;
}

void ca_close(struct ca *ca)
{
    if (!ca)
        return;
    ca_token_close(ca);
    X509_free(ca->audit_certificate);
    X509_free(ca->certificate);
    ledger_close(ca->ledger);
    free(ca);
}

int ca_load_certificate(struct ca *ca)
{
    pc_autobytes der = {0};
    int r = ca->ledger->ops->body(ca->ledger, ca->issuer.certificate, NULL, &der);
    if (r == 0)
        r = pki_certificate_parse(der.data, der.len, &ca->certificate);
    if (r < 0)
        return r == PC_EREFUSED ? pc_fail_in("ledger: the CA certificate on record") : r;
    ca->public_key = X509_get0_pubkey(ca->certificate);
    return ca->public_key ? 0 : pc_fail_openssl(PC_EFAIL, "the CA certificate's key");
}

static int missing(const struct ca_settings *settings)
{
    pc_autofree char *path = NULL;
    int r = ca_state_path(settings, "ca.crt", &path);
    if (r < 0)
        return r;
    if (faccessat(AT_FDCWD, settings->state, R_OK | X_OK, AT_EACCESS) != 0 && errno != ENOENT)
        return pc_fail_errno(PC_EUNREACH, "%s", settings->state);
    if (pc_file_exists(path))
        return pc_fail(PC_EUNREACH, "%s is there, but its ledger (%s) is not", path, settings->ledger_url);
    return pc_refuse("ca-missing", "%s: there is no CA here; plantca init makes one", settings->state);
}

static int open_ledger(const struct ca_settings *settings, enum ledger_open how, struct ca **ret)
{
    struct ledger *ledger PC_CLEANUP(ledger_close_ref) = NULL;
    struct ca *ca PC_CLEANUP(ca_close_ref) = NULL;
    int r = ledger_open(settings->ledger_url, settings->state, how, &ledger);
    if (r == PC_EREFUSED && strcmp(pc_error_name(), "ledger-missing") == 0)
        return missing(settings);
    if (r == 0)
        r = ca_new(settings, &ledger, &ca);
    if (r == 0)
        r = ca->ledger->ops->issuer_get(ca->ledger, &ca->issuer);
    if (r < 0)
        return r;
    if (ca->issuer.id == 0)
        return missing(settings);
    if (!ca->issuer.active)
        return pc_refuse("ca-missing", "%s: an init was interrupted here; plantca init finishes it",
                         settings->state);
    r = ca_load_certificate(ca);
    if (r < 0)
        return r;
    *ret = pc_steal(ca);
    return 0;
}

int ca_open(const struct ca_settings *settings, struct ca **ret)
{
    return open_ledger(settings, LEDGER_EXISTING, ret);
}

int ca_open_to_read(const struct ca_settings *settings, struct ca **ret)
{
    return open_ledger(settings, LEDGER_READONLY, ret);
}

int ca_ledger_reopen(struct ca *ca)
{
    struct ledger *ledger PC_CLEANUP(ledger_close_ref) = NULL, *before = ca->ledger;
    struct ledger_issuer issuer;
    int r = ledger_open(ca->settings->ledger_url, ca->settings->state, LEDGER_EXISTING, &ledger);
    if (r == 0)
        r = ledger->ops->issuer_get(ledger, &issuer);
    if (r == 0 &&
        (!issuer.active || issuer.id != ca->issuer.id || issuer.certificate != ca->issuer.certificate))
        r = pc_refuse("ca-half", "the ledger is another CA's than it was");
    if (r < 0)
        return r;
    ca->ledger = pc_steal(ledger);
    ledger = before; /* to be closed */
    ca->guarded = false;
    return 0;
}

static int copy_text(const char *text, char **ret)
{
    *ret = strdup(text);
    return *ret ? 0 : pc_fail(PC_EFAIL, "out of memory");
}

int ca_summarise(struct ca *ca, struct ca_summary *ret)
{
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    struct pki_serial serial;
    int r = pki_name_format(X509_get_subject_name(ca->certificate), &summary.subject);
    if (r == 0)
        r = pki_key_type_of(ca->public_key, &summary.key);
    if (r == 0)
        r = pki_key_fingerprint(ca->public_key, summary.key_sha256);
    if (r == 0)
        r = pki_certificate_fingerprint(ca->certificate, summary.certificate_sha256);
    if (r == 0)
        r = pki_serial_of(ca->certificate, &serial);
    if (r == 0)
        r = pki_certificate_dates(ca->certificate, &summary.not_before, &summary.not_after);
    if (r == 0)
        r = ca_state_path(ca->settings, "ca.crt", &summary.certificate_path);
    if (r == 0)
        r = ca_state_path(ca->settings, "ca.crl", &summary.crl_path);
    if (r == 0 && ca->ledger->ops->path(ca->ledger))
        r = copy_text(ca->ledger->ops->path(ca->ledger), &summary.ledger_path);
    if (r < 0)
        return r;
    pki_serial_format(&serial, summary.serial);
    summary.token = ca->token_info;
    *ret = summary;
    summary = (struct ca_summary){0};
    return 0;
}

void ca_summary_clear(struct ca_summary *summary)
{
    free(summary->subject);
    free(summary->certificate_path);
    free(summary->crl_path);
    free(summary->ledger_path);
    *summary = (struct ca_summary){0};
}
