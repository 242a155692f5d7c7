/* The broker's judgement: an issuer as a whole under the old files and the new, by real certificates of its;
 * a single one in full; and sets of serials. */
#ifndef CA_PUBLISH_JUDGE_H
#define CA_PUBLISH_JUDGE_H

#include "src/ca/publish/publication.h"
#include "src/pki/verifier.h"

/* What one set of files does to an issuer's certificates. */
struct standing {
    bool sound;    /* those that are not on its CRL are accepted */
    X509_CRL *crl; /* borrowed from the bundle; NULL: none, or none is checked */
    char why[192]; /* when it is not sound */
};
struct issuer_view {
    int64_t id;
    char name[256]; /* its subject's CN */
    X509 *certificate;
    struct standing before, after;
    bool foreign;
    bool comes;          /* an imported CA that the old CA file does not hold */
    bool namesake;       /* an imported CA with the name of another one */
    char crl_fault[160]; /* why no broker can use its new CRL; "": it can */
};
struct judge {
    struct pki_verifier *before,
        *after;                /* before NULL: there is no CA file, and everything counts as accepted */
    struct pki_verifier *path; /* the new CA file without CRLs: quick beside a long one */
    struct issuer_view *issuers;
    size_t count;
    int64_t next_update; /* of the CRL that lapses first */
};
/* The bundles must outlive it. */
int judge_new(struct ca *ca, const struct bundle *old, const struct bundle *new, int64_t now,
              struct judge *ret);
void judge_clear(struct judge *judge);
const struct issuer_view *judge_issuer(const struct judge *judge, int64_t id); /* NULL: unknown */
int judge_certificate(struct ca *ca, int64_t row, X509 **ret);
enum judge_verdict { JUDGE_ACCEPTED, JUDGE_REFUSED_AS_BEFORE, JUDGE_NEWLY_REFUSED };
/* In full. What an issuer that comes has issued is judged by the new files alone: no broker has had a say in
 * it yet. `ret_why`: what the new files say against it. */
int judge_in_full(const struct judge *judge, const struct issuer_view *issuer, X509 *certificate, int64_t now,
                  enum judge_verdict *ret, char ret_why[192]);
/* The same for one of the many that an issuer which comes, or a namesake, has issued, and that is not on its
 * new CRL: each has to be looked at, since one says nothing of the next. */
int judge_path(const struct judge *judge, const struct issuer_view *issuer, X509 *certificate, int64_t now,
               enum judge_verdict *ret, char ret_why[192]);

/* serials.c */
struct serial_set {
    struct pki_serial *serials; /* sorted */
    size_t count;
};
void serial_set_clear(struct serial_set *set);
/* Serials in hex, apart by white space or commas; NULL is empty. PC_EUSAGE. */
int serial_set_parse(const char *text, struct serial_set *ret);
/* Everything that our CRLs may list, expired or not. */
int serial_set_of_record(struct ca *ca, struct serial_set *ret);
bool serial_set_has(const struct serial_set *set, const struct pki_serial *serial);
bool serial_of_entry(const X509_REVOKED *entry, struct pki_serial *ret);

#endif
