/* The index of openssl ca: what that CA issued, against what is on record by now. OpenSSL reads it. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/txt_db.h>

#include "src/base/error.h"
#include "src/ca/import/import.h"
#include "src/pki/openssl.h"

PC_DEFINE_CLEANUP(TXT_DB, TXT_DB_free);

enum { TYPE, EXPIRES, REVOKED, SERIAL, FILE_NAME, NAME, FIELDS }; /* of a line, by tabs */

static int64_t time_of(const char *text)
{
    PC_CLEANUP(ASN1_TIME_free_ref) ASN1_TIME *time = ASN1_TIME_new();
    return time && ASN1_TIME_set_string(time, text) == 1 ? pki_time_of(time) : INT64_MIN;
}

static int bad_line(size_t line, const char *why)
{
    return pc_refuse("import-index", "index, line %zu: %s", line, why);
}

/* Valid by the index: there should be a certificate on record. */
static int find_valid(struct import *import, const char *serial, const char *name)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    struct import_entry entry;
    char text[sizeof((struct ca_import_item *)NULL)->name];
    const struct ledger_query query = {.issuer = import->issuer, .serial = serial};
    int r = ledger_collect(import->ca->ledger, &query, &rows);
    if (r < 0 || rows.count > 0 || import_listed(import, serial, &entry))
        return r;
    import->report.unknown++;
    snprintf(text, sizeof text, "%s %s", serial, name);
    return import_item(import, "unknown", text,
                       "valid by the index, and no file with it was found: brokers accept it, and nobody "
                       "would notice if they did not");
}

static int take_line(struct import *import, OPENSSL_STRING *field, size_t line)
{
    struct pki_serial parsed;
    struct import_entry entry;
    char serial[PKI_SERIAL_TEXT];
    if (strlen(field[TYPE]) != 1 || !strchr("VRE", field[TYPE][0]))
        return bad_line(line, "its first field is none of V, R, E");
    int64_t until = time_of(field[EXPIRES]);
    if (until == INT64_MIN)
        return bad_line(line, "its date of expiry cannot be read");
    if (pki_serial_parse(field[SERIAL], &parsed) < 0)
        return bad_line(line, "its serial number cannot be read");
    if (until < import->now || field[TYPE][0] == 'E')
        return 0;
    pki_serial_format(&parsed, serial);
    if (field[TYPE][0] == 'V')
        return find_valid(import, serial, field[NAME]);
    if (import_listed(import, serial, &entry))
        return 0;
    return pc_refuse(
        "import-index",
        "%s is revoked in the index (line %zu) and not on the CRL: brokers would let it in. Make "
        "a CRL (openssl ca -gencrl) and give it with --crl",
        serial, line);
}

int import_index(struct import *import)
{
    const struct pc_bytes *text = import->options->index;
    PC_CLEANUP(BIO_free_all_ref)
    BIO *in = BIO_new_mem_buf(text->data ? (const void *)text->data : "", (int)text->len);
    TXT_DB *index PC_CLEANUP(TXT_DB_free_ref) = in ? TXT_DB_read(in, FIELDS) : NULL;
    ERR_clear_error();
    if (!index)
        return pc_refuse("import-index", "the index is none of openssl ca: six fields a line, apart by tabs");
    int r = 0;
    for (int i = 0; r == 0 && i < sk_OPENSSL_PSTRING_num(index->data); i++)
        r = take_line(import, sk_OPENSSL_PSTRING_value(index->data, i), (size_t)i + 1);
    return r;
}
