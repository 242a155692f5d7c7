/* What the files of this room share: an import under way. */
#ifndef CA_IMPORT_IMPORT_H
#define CA_IMPORT_IMPORT_H

#include "src/ca/import.h"
#include "src/ca/internal.h"

struct import {
    struct ca *ca;
    const struct ca_import_options *options;
    int64_t now;
    X509 *certificate; /* of the CA that is imported */
    int64_t issuer;    /* its row */
    X509_CRL *crl;     /* the new one, or the one on record; NULL: none */
    struct ca_import_report report;
    size_t room; /* for items */
};
int import_item(struct import *import, const char *what, const char *name, const char *why);

/* crl.c: what a CRL says of one serial. */
struct import_entry {
    int64_t at, invalid_since;
    int reason; /* CRLReason that a ledger takes */
};
bool import_listed(const struct import *import, const char *serial, struct import_entry *ret);
/* Before anything is recorded: the CRL is its CA's, and not older than the one on record, which is taken
 * where none was given. */
int import_crl_read(struct import *import);
/* Rows on record are revoked, held and released as it says; then it is on record itself, if it is new. */
int import_crl_record(struct import *import);

/* fleet.c: certificates from DIR/<id>/device.crt; what cannot be taken is an item. */
int import_devices(struct import *import);
int import_audit(struct import *import, const struct ledger_certificate *row, const char *act);

/* index.c: the index of openssl ca against what is on record by now. */
int import_index(struct import *import);

#endif
