/* Which rows an order to revoke, hold or release means. Reads only. */
#include "src/ca/selection.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/pki/openssl.h"

#define STANDING                                                                                             \
    (LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_SUPERSEDED) | LEDGER_BIT(LEDGER_HELD) |                  \
     LEDGER_BIT(LEDGER_FOREIGN))

int selection_check(const struct ca_selector *selector)
{
    struct pki_serial serial;
    if (!selector->plant + !selector->serial + !selector->certificate != 2)
        return pc_fail(PC_EUSAGE, "exactly one of plant, serial and certificate must be named");
    if (selector->plant)
        return pki_uuid_check(selector->plant);
    return selector->serial ? pki_serial_parse(selector->serial, &serial) : 0;
}

static int by_serial(struct ca *ca, const struct pki_serial *serial, struct ledger_rows *ret)
{
    char text[PKI_SERIAL_TEXT];
    pki_serial_format(serial, text);
    return ledger_collect(ca->ledger, &(struct ledger_query){.serial = text}, ret);
}

/* Two issuers may have used one number: ours is meant then. */
static int only_ours(struct ca *ca, const struct pki_serial *serial, struct ledger_rows *ret)
{
    int r = by_serial(ca, serial, ret);
    for (size_t i = 0; r == 0 && i < ret->count; i++)
        if (ret->rows[i].issuer == ca->issuer.id) {
            ret->rows[0] = ret->rows[i];
            ret->count = 1;
        }
    return r;
}

/* Byte for byte: one that only shares a serial with a row is another certificate. */
static int by_certificate(struct ca *ca, const struct pc_bytes *bytes, struct ledger_rows *ret,
                          bool *ret_twin)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    struct pki_serial serial;
    char sha256[PKI_FINGERPRINT_TEXT];
    size_t same = 0;
    int r = pki_certificate_parse(bytes->data, bytes->len, &certificate);
    if (r == 0)
        r = pki_certificate_fingerprint(certificate, sha256);
    if (r == 0)
        r = pki_serial_of(certificate, &serial);
    if (r == 0)
        r = by_serial(ca, &serial, &rows);
    if (r < 0)
        return r;
    while (same < rows.count && strcmp(rows.rows[same].record.certificate_sha256, sha256) != 0)
        same++;
    if (same == rows.count) {
        for (same = 0; same < rows.count && rows.rows[same].issuer != ca->issuer.id;)
            same++;
        if (same == rows.count || X509_verify(certificate, ca->public_key) != 1)
            return 0;
        *ret_twin = true;
    }
    rows.rows[0] = rows.rows[same];
    rows.count = 1;
    *ret = rows;
    rows = (struct ledger_rows){0};
    return 0;
}

int selection_siblings(struct ca *ca, struct ledger_rows *rows)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) of_key = {0};
    const struct ledger_query query = {.key_sha256 = rows->rows[0].record.key_sha256, .states = STANDING};
    int r = ledger_collect(ca->ledger, &query, &of_key);
    if (r < 0)
        return r;
    struct ledger_certificate *grown = reallocarray(rows->rows, 1 + of_key.count, sizeof *grown);
    if (!grown)
        return pc_fail(PC_EFAIL, "out of memory");
    rows->rows = grown;
    for (size_t i = 0; i < of_key.count; i++)
        if (of_key.rows[i].id != grown[0].id)
            grown[rows->count++] = of_key.rows[i];
    return 0;
}

int selection_rows(struct ca *ca, const struct ca_selector *selector, struct ledger_rows *ret, bool *ret_twin)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query plant = {.subject = selector->plant, .profile = pki_profile_device.name};
    struct pki_serial serial;
    bool twin = false;
    int r = 0;
    if (selector->plant)
        r = ledger_collect(ca->ledger, &plant, &rows);
    else if (selector->certificate)
        r = by_certificate(ca, selector->certificate, &rows, &twin);
    else if ((r = pki_serial_parse(selector->serial, &serial)) == 0)
        r = only_ours(ca, &serial, &rows);
    if (r == 0 && !selector->plant && rows.count > 0 && !twin)
        r = selection_siblings(ca, &rows);
    if (r < 0)
        return r;
    *ret = rows;
    rows = (struct ledger_rows){0};
    *ret_twin = twin;
    return 0;
}

int selection_unknown(const struct ca_selector *selector)
{
    if (selector->plant)
        return pc_refuse("revoke-unknown", "%s: no certificate on record", selector->plant);
    if (selector->serial)
        return pc_refuse("revoke-unknown", "%s: no certificate on record with this serial", selector->serial);
    return pc_refuse("revoke-unknown", "this certificate is not on record, and our key did not sign it");
}

int selection_foreign(const struct ledger_certificate *row)
{
    return pc_refuse(
        "revoke-foreign",
        "%s (%s) was issued by an imported CA, and only that CA's own CRL can list it: revoke it "
        "there, make a CRL, and bring that here with plantca import --ca FILE --crl FILE",
        row->record.serial, row->record.cn);
}
