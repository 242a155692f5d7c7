/* What the parts of audit verification share. Within src/ca/audit only. */
#ifndef CA_AUDIT_VERIFY_H
#define CA_AUDIT_VERIFY_H

#include "src/ca/audit/checkpoint.h"
#include "src/ca/audit/line.h"

/* A place in a chain that a signature vouches for. */
struct mark {
    struct checkpoint_head said;
    char sha256[PKI_FINGERPRINT_TEXT]; /* of the statement */
    char signer[PKI_FINGERPRINT_TEXT]; /* the audit key */
    const char *from;                  /* "checkpoint" on record, or "head" from outside */
    bool first;                        /* of its statement, which has one for each chain */
    bool met, recorded;                /* the row is there; an audit row tells of it: */
    struct place {
        char chain[33];
        int64_t seq;
    } told;
};

/* The end of an audit key: from there on it vouches for nothing. */
struct retired {
    char key_sha256[PKI_FINGERPRINT_TEXT];
    struct place at;
};

/* What the chain says of a CRL. */
struct told_crl {
    uint64_t number;
    int64_t seq;
    bool issued;
    char sha256[PKI_FINGERPRINT_TEXT], tbs_sha256[PKI_FINGERPRINT_TEXT];
};

/* And of orphans, publications, and keys of ours beside the CA's. */
struct told_book {
    enum book { BOOK_ORPHAN, BOOK_PUBLICATION, BOOK_KEY } book;
    int64_t seq;
    uint64_t number;
    char name[PKI_FINGERPRINT_TEXT]; /* serial, hash of the CRL file, hash of the key */
    bool met;
};

/* And of admissions. */
struct told_admission {
    int64_t admission, seq, until;
    unsigned act; /* one bit, in admissions.c */
    char key_sha256[PKI_FINGERPRINT_TEXT], plant[PKI_UUID_TEXT], proof[8];
    bool met;
};

/* An array that grows. */
struct list {
    void *rows; /* owned */
    size_t count, room;
};
int list_add(struct list *list, const void *row, size_t size);

struct verification {
    struct ca *ca;
    const struct ca_verify_options *options;
    struct ca_verify_report report;
    struct list marks;      /* struct mark */
    struct list crls;       /* struct told_crl, as the chain gives them */
    struct list retired;    /* struct retired, as the chains give them */
    struct list books;      /* struct told_book, as the chain gives them */
    struct list admissions; /* struct told_admission, as the chains give them */
    size_t about;           /* audit rows that name a ledger row */
    size_t met;             /* of these, how many were met at their row */
    X509_CRL *last;         /* the last CRL on record, or NULL; owned */
    uint64_t last_number;
    char newest[PKI_FINGERPRINT_TEXT]; /* of the last checkpoint's statement; "" when there is none */
    size_t audit_certificates;         /* on record */
    size_t crls_after_key;             /* CRLs that were issued since there is an audit key */
};

/* One fault. */
void verify_fault(struct verification *v, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* vouch.c: checkpoints on record, and those from outside; before the chain is read. Then, row by row. */
int verify_checkpoints(struct verification *v);
int verify_heads(struct verification *v);
void verify_marks_sort(struct verification *v);
void verify_marks_at(struct verification *v, const struct ledger_audit *row);
/* The row of that chain that the newest checkpoint vouches for; 0: none. */
int64_t verify_vouched(const struct verification *v, const char *chain);
void verify_marks_end(struct verification *v);

/* walk.c: the chain, row by row. */
int verify_chain(struct verification *v);

/* story.c: each row of the ledger against its audit rows; bodies.c: against its certificate. */
int verify_rows(struct verification *v);
int verify_certificate(struct verification *v, const struct ledger_certificate *row, const char *tbs_sha256);

/* books.c: what the chain tells of orphans, publications and keys, kept and held against their rows; the
 * issuer's row; the tables and their rules themselves. */
int verify_books_keep(struct verification *v, const struct audit_line *line);
int verify_books(struct verification *v);

/* admissions.c: what the chains tell of admissions and of keys that wait, kept and held against their rows.
 */
int verify_admissions_keep(struct verification *v, const struct audit_line *line);
int verify_admissions(struct verification *v);

/* crls.c: each CRL on record, and those from outside. */
int verify_last_crl(struct verification *v);
int verify_crls(struct verification *v);
int verify_witnesses(struct verification *v);

#endif
