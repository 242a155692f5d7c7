/* Witnesses: CRLs of ours that lie outside the ledger, by which an older copy of it is known. Within src/ca.
 */
#ifndef CA_WITNESS_H
#define CA_WITNESS_H

#include <openssl/x509.h>

#include "src/ca/internal.h"

struct witness {
    const char *path;                  /* borrowed, as are all */
    char sha256[PKI_FINGERPRINT_TEXT]; /* of its DER */
    struct pc_bytes der;
    X509_CRL *crl; /* NULL while `recorded`: it was not looked into */
    uint64_t number;
    bool recorded; /* byte for byte the one that the ledger has under this number */
};
typedef int witness_row(void *context, const struct witness *witness);

/* Calls `row` for each CRL in the file (PEM blocks, or DER) that our key signed, non-zero stops and is
 * returned; what is none of ours is passed over. A file that is not there: 0. */
int witness_each(struct ca *ca, const char *path, witness_row *row, void *context);
/* The same for ca.crl in the state folder and in [publish] dir. */
int witness_each_known(struct ca *ca, witness_row *row, void *context);

/* The serials that the ledger would list today, to look entries up in. */
struct witness_listed {
    struct ledger_entry *rows; /* owned, sorted by serial */
    size_t count, room;
};
int witness_listed_read(struct ca *ca, struct witness_listed *ret);
void witness_listed_clear(struct witness_listed *listed);
/* Calls `lost` for each entry that the ledger neither lists nor explains (the certificate has expired, or was
 * released since), or lists as held only, though it was revoked. `row`: what it has on record, or NULL. */
typedef int witness_lost(void *context, const struct ledger_entry *entry,
                         const struct ledger_certificate *row);
int witness_compare(struct ca *ca, const struct witness *witness, const struct witness_listed *listed,
                    witness_lost *lost, void *context);
/* The same with the last CRL that we issued, as it is on record; PC_EREFUSED "crl-differs" when it is not the
 * one that we signed. */
int witness_last(struct ca *ca, const struct ledger_crl *last, const struct witness_listed *listed,
                 witness_lost *lost, void *context);

#endif
