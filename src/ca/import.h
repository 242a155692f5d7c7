/* Import: a CA that keeps its key elsewhere (a file, by openssl ca), its CRL and its fleet come on record, so
 * that publication goes on serving them beside ours. */
#ifndef CA_IMPORT_H
#define CA_IMPORT_H

#include "src/ca/authority.h"

struct ca_import_options {
    const struct pc_bytes *certificate; /* of the CA; PEM or DER */
    const struct pc_bytes *crl;         /* its CRL; NULL: the one on record, if any */
    const struct pc_bytes *index;       /* index.txt of openssl ca; NULL: none */
    const char *devices;                /* folder with <id>/device.crt; NULL: none */
    bool dry_run;                       /* judge and count, and record nothing */
};

/* Something that an operator should look at. */
struct ca_import_item {
    char what[16];  /* "refused", "unknown": in the index, but no file; "name": the CN is no plant's UUID;
                     * "key": valid,  with a key that was revoked here */
    char name[320]; /* file, or serial and name */
    char why[256];
};

struct ca_import_report {
    char subject[1024];
    bool known;     /* the CA was on record before */
    bool same_name; /* as our CA's: verifiers tell them apart by key identifiers only */
    bool crl_new;
    uint64_t crl_number; /* how many CRLs of it were imported; 0: none */
    int64_t crl_next_update;
    size_t crl_entries;
    size_t imported, already, expired, refused; /* certificates found in files */
    size_t revoked;                             /* revoked or held by the CRL now */
    size_t released;                            /* held before, and no longer on the CRL */
    size_t unknown;                             /* valid by the index, without a file: on no record */
    size_t names;                               /* imported under a CN that is no plant's UUID */
    struct ca_import_item *items;               /* owned */
    size_t item_count;
};
void ca_import_report_clear(struct ca_import_report *report);

/* All in one transaction; run again, it takes a newer CRL, what that revokes, and certificates that are new.
 * What is wrong with one certificate is an item of the report, not a failure. PC_EREFUSED: "import-ca" (no
 * CA certificate, not self-signed, expired), "import-own" (ours), "import-name" (another CA of that name is
 * on record, or it has our name and a certificate, not revoked, that does not tell by key identifier whose it
 * is), "import-crl" (not its CRL), "import-crl-old" (older than the one on record), "import-index"
 * (not to be read, or it revokes what the CRL does not list). Needs no token. `ret` is to be cleared. */
int ca_import(struct ca *ca, const struct ca_import_options *options, struct ca_import_report *ret);
/* The imported CA whose CRL lapses first: *ret_next_update, 0 when no CA was imported, 1 when one has no CRL.
 */
int ca_import_lapses(struct ca *ca, char ret_subject[1024], int64_t *ret_next_update);

#endif
