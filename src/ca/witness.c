/* Reading CRLs of ours from outside the ledger, and holding them against it. */
#include "src/ca/witness.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "src/ca/audit/line.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

static bool is_recorded(struct ca *ca, const struct ledger_crl *last, const struct witness *w)
{
    pc_autobytes der = {0};
    if (strcmp(w->sha256, last->sha256) == 0)
        return true;
    if (!w->crl || ca->ledger->ops->crl_body(ca->ledger, ca->issuer.id, w->number, &der) < 0)
        return false;
    return der.len == w->der.len && memcmp(der.data, w->der.data, der.len) == 0;
}

/* One CRL's DER. The last one on record is known by its hash, and not even parsed. */
static int see(struct ca *ca, const struct ledger_crl *last, struct witness *w, witness_row *row,
               void *context)
{
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    int r = pki_digest_hex(w->der.data, w->der.len, w->sha256);
    if (r < 0)
        return r;
    w->number = last->number;
    w->recorded = is_recorded(ca, last, w);
    if (w->recorded)
        return row(context, w);
    if (pki_crl_parse(w->der.data, w->der.len, &crl) < 0 || X509_CRL_verify(crl, ca->public_key) != 1 ||
        pki_crl_number(crl, &w->number) < 0) {
        ERR_clear_error();
        return 0;
    }
    w->crl = crl;
    w->recorded = is_recorded(ca, last, w);
    return row(context, w);
}

static int see_blocks(struct ca *ca, const struct ledger_crl *last, const char *path,
                      const struct pc_bytes *file, witness_row *row, void *context)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *bio = BIO_new_mem_buf(file->data, (int)file->len);
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long len = 0;
    int r = 0;
    if (!bio)
        return pc_fail_openssl(PC_EFAIL, "%s", path);
    while (r == 0 && PEM_read_bio(bio, &name, &header, &data, &len) == 1) {
        struct witness w = {.path = path, .der = {data, (size_t)len}};
        if (strcmp(name, PEM_STRING_X509_CRL) == 0)
            r = see(ca, last, &w, row, context);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
    }
    ERR_clear_error();
    return r;
}

int witness_each(struct ca *ca, const char *path, witness_row *row, void *context)
{
    pc_autobytes file = {0};
    struct ledger_crl last;
    if (!pc_file_exists(path))
        return 0;
    int r = pc_file_read(path, CA_FILE_MAX, &file);
    if (r == 0)
        r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &last);
    if (r < 0)
        return r;
    if (file.len && file.data[0] == 0x30) { /* DER: SEQUENCE */
        struct witness w = {.path = path, .der = file};
        return see(ca, &last, &w, row, context);
    }
    return see_blocks(ca, &last, path, &file, row, context);
}

int witness_each_known(struct ca *ca, witness_row *row, void *context)
{
    pc_autofree char *own = NULL, *published = NULL;
    int r = ca_state_path(ca->settings, "ca.crl", &own);
    if (r == 0)
        r = witness_each(ca, own, row, context);
    if (r != 0 || !ca->settings->publish_dir)
        return r;
    published = pc_path_join(ca->settings->publish_dir, "ca/ca.crl");
    return published ? witness_each(ca, published, row, context) : pc_fail(PC_EFAIL, "out of memory");
}

static int add_listed(void *context, const struct ledger_entry *entry)
{
    struct witness_listed *l = context;
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 256;
        struct ledger_entry *grown = reallocarray(l->rows, room, sizeof *grown);
        if (!grown)
            return pc_fail(PC_EFAIL, "out of memory");
        l->rows = grown;
        l->room = room;
    }
    l->rows[l->count++] = *entry;
    return 0;
}

static int by_serial(const void *a, const void *b)
{
    return strcmp(((const struct ledger_entry *)a)->serial, ((const struct ledger_entry *)b)->serial);
}

void witness_listed_clear(struct witness_listed *listed)
{
    free(listed->rows);
    *listed = (struct witness_listed){0};
}

int witness_listed_read(struct ca *ca, struct witness_listed *ret)
{
    struct witness_listed PC_CLEANUP(witness_listed_clear) listed = {0};
    struct ledger_crl last;
    int r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &last);
    if (r == 0)
        r = ca->ledger->ops->crl_entries(ca->ledger, ca->issuer.id, &last, add_listed, &listed);
    if (r < 0)
        return r;
    if (listed.count)
        qsort(listed.rows, listed.count, sizeof *listed.rows, by_serial);
    *ret = listed;
    listed = (struct witness_listed){0};
    return 0;
}

static int is_release(void *context, const struct ledger_audit *row)
{
    struct audit_line line;
    (void)context;
    return audit_line_read(row->line, &line) == 0 && strcmp(line.act, "release") == 0;
}

/* Whether the ledger knows why it no longer lists this entry of the CRL `number`. */
static int explain(struct ca *ca, uint64_t number, const struct ledger_rows *rows, bool *ret)
{
    *ret = false;
    if (rows->count == 0)
        return 0;
    const struct ledger_certificate *row = &rows->rows[0];
    if (row->record.not_after < pc_now()) {
        *ret = row->state == LEDGER_REVOKED || row->state == LEDGER_HELD || row->state == LEDGER_VOID;
        return 0;
    }
    if (row->unlisted_from <= 0 || (uint64_t)row->unlisted_from <= number)
        return 0;
    int r = ca->ledger->ops->audit_of(ca->ledger, row->id, is_release, NULL);
    if (r < 0)
        return r;
    *ret = r > 0;
    return 0;
}

static int serial_of(const X509_REVOKED *revoked, struct ledger_entry *ret)
{
    const ASN1_INTEGER *number = X509_REVOKED_get0_serialNumber(revoked);
    struct pki_serial serial = {.len = (size_t)ASN1_STRING_length(number)};
    if (serial.len < 1 || serial.len > sizeof serial.octets)
        return pc_refuse("crl-parse", "an entry of the CRL is damaged");
    memcpy(serial.octets, ASN1_STRING_get0_data(number), serial.len);
    pki_serial_format(&serial, ret->serial);
    return 0;
}

static int entry_of(const X509_REVOKED *revoked, struct ledger_entry *ret)
{
    struct ledger_entry entry = {.revoked_at = pki_time_of(X509_REVOKED_get0_revocationDate(revoked))};
    if (entry.revoked_at == INT64_MIN)
        return pc_refuse("crl-parse", "an entry of the CRL is damaged");
    int r = serial_of(revoked, &entry);
    if (r < 0)
        return r;
    PC_CLEANUP(ASN1_ENUMERATED_free_ref)
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(revoked, NID_crl_reason, NULL, NULL);
    entry.reason = reason ? (int)ASN1_ENUMERATED_get(reason) : CRL_REASON_UNSPECIFIED;
    PC_CLEANUP(ASN1_TIME_free_ref)
    ASN1_TIME *since = X509_REVOKED_get_ext_d2i(revoked, NID_invalidity_date, NULL, NULL);
    if (since)
        entry.invalid_since = pki_time_of(since);
    *ret = entry;
    return 0;
}

int witness_last(struct ca *ca, const struct ledger_crl *last, const struct witness_listed *listed,
                 witness_lost *lost, void *context)
{
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    pc_autobytes der = {0};
    uint64_t number = 0;
    if (last->number == 0)
        return 0;
    int r = ca->ledger->ops->crl_body(ca->ledger, ca->issuer.id, last->number, &der);
    if (r == 0)
        r = pki_crl_parse(der.data, der.len, &crl);
    if (r == 0)
        r = pki_crl_number(crl, &number);
    if (r < 0)
        return r;
    const struct witness w = {.path = "the last CRL on record", .crl = crl, .number = number};
    if (number != last->number || X509_CRL_verify(crl, ca->public_key) != 1) {
        ERR_clear_error();
        return pc_refuse("crl-differs",
                         "CRL number %llu on record is not the one that we signed: the ledger was changed; "
                         "plantca audit verify tells more",
                         (unsigned long long)last->number);
    }
    return witness_compare(ca, &w, listed, lost, context);
}

int witness_compare(struct ca *ca, const struct witness *witness, const struct witness_listed *listed,
                    witness_lost *lost, void *context)
{
    STACK_OF(X509_REVOKED) *entries = witness->crl ? X509_CRL_get_REVOKED(witness->crl) : NULL;
    int r = 0;
    for (int i = 0; r == 0 && i < sk_X509_REVOKED_num(entries); i++) {
        struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
        struct ledger_entry entry;
        bool explained = false;
        const X509_REVOKED *revoked = sk_X509_REVOKED_value(entries, i);
        r = serial_of(revoked, &entry);
        if (r < 0)
            return r;
        const struct ledger_entry *found =
            listed->count ? bsearch(&entry, listed->rows, listed->count, sizeof entry, by_serial) : NULL;
        if (found && found->reason != CRL_REASON_CERTIFICATE_HOLD)
            continue;
        const struct ledger_query query = {.issuer = ca->issuer.id, .serial = entry.serial};
        r = entry_of(revoked, &entry);
        if (r == 0 && found && entry.reason == CRL_REASON_CERTIFICATE_HOLD)
            continue;
        if (r == 0)
            r = ledger_collect(ca->ledger, &query, &rows);
        if (r == 0 && !found)
            r = explain(ca, witness->number, &rows, &explained);
        if (r == 0 && !explained)
            r = lost(context, &entry, rows.count ? &rows.rows[0] : NULL);
    }
    return r;
}
