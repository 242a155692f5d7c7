/* Seeing what is on record: lists, one plant or serial, a certificate's PEM. */
#include "src/ca/list.h"

#include <string.h>

#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/ca/internal.h"
#include "src/pki/openssl.h"

#define VALID (LEDGER_BIT(LEDGER_CURRENT) | LEDGER_BIT(LEDGER_SUPERSEDED))
#define REVOKED (LEDGER_BIT(LEDGER_REVOKED) | LEDGER_BIT(LEDGER_HELD))

struct listener {
    int (*row)(void *context, const struct ca_record *record);
    void *context;
    size_t count;
};

static int tell(void *context, const struct ledger_certificate *row)
{
    struct listener *listener = context;
    listener->count++;
    return listener->row(listener->context, &row->record);
}

int ca_list(struct ca *ca, enum ca_filter filter, int64_t within,
            int (*row)(void *context, const struct ca_record *record), void *context)
{
    int64_t now = pc_now();
    const struct ledger_query queries[] = {
        [CA_ALL] = {0},
        [CA_CURRENT] = {.states = LEDGER_BIT(LEDGER_CURRENT)},
        [CA_VALID] = {.states = VALID, .ends_after = now},
        [CA_EXPIRING] = {.states = LEDGER_BIT(LEDGER_CURRENT), .ends_before = now + within},
        [CA_REVOKED] = {.states = REVOKED},
    };
    struct listener listener = {.row = row, .context = context};
    return ca->ledger->ops->find(ca->ledger, &queries[filter], tell, &listener);
}

int ca_show(struct ca *ca, const char *uuid_or_serial,
            int (*row)(void *context, const struct ca_record *record), void *context)
{
    struct listener listener = {.row = row, .context = context};
    struct pki_serial serial;
    if (!pki_uuid_is_canonical(uuid_or_serial) && pki_serial_parse(uuid_or_serial, &serial) == 0) {
        char text[PKI_SERIAL_TEXT];
        pki_serial_format(&serial, text);
        int r = ca->ledger->ops->find(ca->ledger, &(struct ledger_query){.serial = text}, tell, &listener);
        if (r != 0 || listener.count)
            return r;
    }
    /* Neither plant nor serial: the name of a broker, perhaps. */
    const struct ledger_query by_subject = {.subject = uuid_or_serial, .newest_first = true};
    int r = ca->ledger->ops->find(ca->ledger, &by_subject, tell, &listener);
    if (r != 0 || listener.count)
        return r;
    return pc_refuse("record-unknown", "%s: no certificate on record", uuid_or_serial);
}

int ca_chain_of(const struct pc_bytes *der, struct pc_bytes *ret)
{
    /* The root signs the leaves itself, and is not sent along: verifiers have it. */
    PC_CLEANUP(BIO_free_all_ref) BIO *out = BIO_new(BIO_s_mem());
    char *pem;
    if (!out || PEM_write_bio(out, PEM_STRING_X509, "", der->data, (long)der->len) <= 0)
        return pc_fail_openssl(PC_EFAIL, "chain cannot be written as PEM");
    long len = BIO_get_mem_data(out, &pem);
    return pc_bytes_copy(pem, (size_t)len, ret);
}

int ca_chain_pem(struct ca *ca, int64_t row, struct pc_bytes *ret)
{
    pc_autobytes der = {0};
    int r = ca->ledger->ops->body(ca->ledger, row, NULL, &der);
    if (r == 0 && der.len == 0)
        r = pc_refuse("record-unsigned", "no certificate was issued under this serial");
    return r < 0 ? r : ca_chain_of(&der, ret);
}

int ca_certificate_pem(struct ca *ca, const char *serial, struct pc_bytes *ret)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    struct pki_serial parsed;
    char text[PKI_SERIAL_TEXT];
    int r = pki_serial_parse(serial, &parsed);
    if (r < 0)
        return r;
    pki_serial_format(&parsed, text);
    r = ledger_collect(ca->ledger, &(struct ledger_query){.serial = text}, &rows);
    if (r == 0 && rows.count == 0)
        r = pc_refuse("record-unknown", "%s: no certificate on record", serial);
    return r < 0 ? r : ca_chain_pem(ca, rows.rows[0].id, ret);
}
