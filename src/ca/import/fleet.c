/* The fleet of a CA that is imported: certificates from its folder of devices. One that cannot be taken is
 * told of, and the rest goes on. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/import/import.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

#define CERTIFICATE_MAX 65536 /* bytes */

int import_audit(struct import *import, const struct ledger_certificate *row, const char *act)
{
    return ca_audit(import->ca, &(struct audit_act){
                                    .act = act,
                                    .outcome = "done",
                                    .certificate = row->id,
                                    .profile = row->record.profile,
                                    .subject = row->record.cn,
                                    .serial = row->record.serial,
                                    .key_sha256 = row->record.key_sha256,
                                    .certificate_sha256 = row->record.certificate_sha256,
                                    .reason = row->record.reason,
                                });
}

/* One certificate as a row; PC_EREFUSED when it is none of this CA's, or says of itself what a ledger cannot
 * hold. */
static int describe(const struct import *import, X509 *certificate, struct ledger_certificate *ret)
{
    struct ledger_certificate row = {.issuer = import->issuer, .state = LEDGER_FOREIGN};
    struct ca_record *c = &row.record;
    struct pki_serial serial;
    pc_autofree char *cn = NULL;
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    bool signed_by = X509_verify(certificate, X509_get0_pubkey(import->certificate)) == 1;
    ERR_clear_error();
    if (!signed_by)
        return pc_refuse("import-item", "not signed by the CA that is imported");
    int r = pki_name_cn(X509_get_subject_name(certificate), &cn);
    if (r == 0 && (strlen(cn) == 0 || strlen(cn) >= sizeof c->cn))
        r = pc_refuse("import-item", "its CN is empty or too long");
    if (r == 0)
        r = key ? pki_key_fingerprint(key, c->key_sha256)
                : pc_refuse("import-item", "its key cannot be read");
    if (r == 0)
        r = pki_certificate_fingerprint(certificate, c->certificate_sha256);
    if (r == 0)
        r = pki_serial_of(certificate, &serial);
    if (r == 0)
        r = pki_certificate_dates(certificate, &c->not_before, &c->not_after);
    if (r < 0)
        return r;
    pki_serial_format(&serial, c->serial);
    snprintf(c->cn, sizeof c->cn, "%s", cn);
    pki_name_disarm(c->cn);
    snprintf(c->origin, sizeof c->origin, "imported");
    /* Whatever a broker would take from a client; a server's certificate is none. */
    snprintf(c->profile, sizeof c->profile, "%s",
             X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) == 1 ? pki_profile_device.name
                                                                              : pki_profile_broker.name);
    c->reason = -1;
    c->issued_at = import->now;
    *ret = row;
    return 0;
}

/* PC_EREFUSED where the record stands against it; *ret_already where it is there. */
static int compare(const struct import *import, const struct ledger_certificate *row, bool *ret_already)
{
    struct ledger *ledger = import->ca->ledger;
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    char subject[256];
    const struct ledger_query same = {.issuer = import->issuer, .serial = row->record.serial};
    int r = ledger_collect(ledger, &same, &rows);
    if (r < 0)
        return r;
    *ret_already = rows.count > 0;
    if (rows.count > 0 && strcmp(rows.rows[0].record.certificate_sha256, row->record.certificate_sha256) != 0)
        return pc_refuse("import-item", "another certificate with serial %s is on record",
                         row->record.serial);
    if (rows.count > 0)
        return 0;
    r = ledger->ops->key_subject(ledger, row->record.key_sha256, subject);
    if (r == 0 && *subject && strcmp(subject, row->record.cn) != 0)
        return pc_refuse("import-item", "its key belongs to %.64s, and for ever", subject);
    return r;
}

static void apply_crl(const struct import *import, struct ledger_certificate *row)
{
    struct import_entry entry;
    if (!import_listed(import, row->record.serial, &entry))
        return;
    row->state = entry.reason == CRL_REASON_CERTIFICATE_HOLD ? LEDGER_HELD : LEDGER_REVOKED;
    row->record.reason = entry.reason;
    row->record.revoked_at = entry.at ? entry.at : import->now;
    row->record.invalid_since = row->state == LEDGER_REVOKED ? entry.invalid_since : 0;
}

/* A key that was revoked here comes in again through a certificate of the other CA: brokers accept that one,
 * and only its own CRL can stop it. */
static int judge_key(struct import *import, const struct ledger_certificate *row, const char *name)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query revoked = {.issuer = import->ca->issuer.id,
                                         .key_sha256 = row->record.key_sha256,
                                         .states = LEDGER_BIT(LEDGER_REVOKED)};
    int r = row->state == LEDGER_FOREIGN ? ledger_collect(import->ca->ledger, &revoked, &rows) : 0;
    for (size_t i = 0; i < rows.count; i++)
        if (rows.rows[i].record.reason != CRL_REASON_SUPERSEDED)
            return import_item(
                import, "key", name,
                "its key was revoked here, and brokers accept this certificate of it until the other "
                "CA revokes it, too, and its CRL is imported");
    return r;
}

/* Programs that look for an issuer by name find ours first, and try no other: no plant may be imported into
 * that. What its CA revoked for good is refused anyway. */
static int judge_issuer_name(const struct import *import, X509 *certificate,
                             const struct ledger_certificate *row)
{
    struct import_entry entry;
    bool told_apart = X509_get0_authority_key_id(certificate) &&
                      X509_check_issued(import->ca->certificate, certificate) != X509_V_OK;
    bool revoked =
        import_listed(import, row->record.serial, &entry) && entry.reason != CRL_REASON_CERTIFICATE_HOLD;
    if (!import->report.same_name || told_apart || revoked)
        return 0;
    return pc_refuse(
        "import-name",
        "nothing was imported: this CA has the subject of ours, and the certificate of %s (serial %s) has no "
        "authorityKeyIdentifier that tells the two apart (RFC 5280 §4.2.1.1): brokers would take ours for "
        "its "
        "issuer and refuse it. The new CA needs another subject, given before plantca init ([ca] subject or "
        "CA_SUBJECT), such as \"%s G2\"; or import nothing",
        row->record.cn, row->record.serial, import->ca->settings->subject);
}

static int record(struct import *import, X509 *certificate, struct ledger_certificate *row, const char *name)
{
    struct ledger *ledger = import->ca->ledger;
    pc_autobytes der = {0};
    apply_crl(import, row);
    int r = pki_certificate_der(certificate, &der);
    if (r == 0)
        r = ledger->ops->record(ledger, row, &der, &row->id);
    if (r == 0)
        r = import_audit(import, row, "import");
    if (r < 0)
        return r;
    import->report.imported++;
    import->report.revoked += row->state != LEDGER_FOREIGN;
    r = judge_key(import, row, name);
    if (r < 0 || pki_uuid_is_canonical(row->record.cn))
        return r;
    import->report.names++;
    return import_item(import, "name", name, "its CN is no plant's UUID; no plant can take over from it");
}

static int take(struct import *import, const char *name, const struct pc_bytes *bytes)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    struct ledger_certificate row;
    bool already = false;
    int r = pki_certificate_parse(bytes->data, bytes->len, &certificate);
    if (r == 0)
        r = describe(import, certificate, &row);
    if (r == 0 && row.record.not_after < import->now) {
        import->report.expired++;
        return 0;
    }
    if (r == 0) {
        int unfit = judge_issuer_name(import, certificate, &row);
        if (unfit < 0)
            return unfit;
        r = compare(import, &row, &already);
    }
    if (r == 0 && already) {
        import->report.already++;
        return 0;
    }
    if (r == 0)
        return record(import, certificate, &row, name);
    if (r != PC_EREFUSED)
        return r;
    import->report.refused++;
    return import_item(import, "refused", name, pc_error_text());
}

static void close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

int import_devices(struct import *import)
{
    const char *folder = import->options->devices;
    DIR *dir PC_CLEANUP(close_dir) = opendir(folder);
    if (!dir)
        return pc_fail_errno(PC_EFAIL, "%s", folder);
    int r = 0;
    errno = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(dir)); errno = 0) {
        char path[4096];
        pc_autobytes bytes = {0};
        int len = snprintf(path, sizeof path, "%s/%s/device.crt", folder, entry->d_name);
        if (entry->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof path || !pc_file_exists(path))
            continue;
        if (pc_file_read(path, CERTIFICATE_MAX, &bytes) == 0) {
            r = take(import, path, &bytes);
            continue;
        }
        import->report.refused++;
        r = import_item(import, "refused", path, pc_error_text());
    }
    return r == 0 && errno ? pc_fail_errno(PC_EFAIL, "%s", folder) : r;
}
