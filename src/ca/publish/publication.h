/* What the files of this room share: what brokers are given, before and after, and the files it goes into. */
#ifndef CA_PUBLISH_PUBLICATION_H
#define CA_PUBLISH_PUBLICATION_H

#include "src/ca/internal.h"
#include "src/ca/publish.h"

/* bundle.c: one CA file and one CRL file, as bytes and as what they say. */
struct bundle {
    struct pc_bytes ca_pem, crl_pem;
    STACK_OF(X509) * certificates; /* NULL: no file, or none that can be parsed */
    STACK_OF(X509_CRL) * crls;     /* likewise: a broker then checks no CRL */
};
void bundle_clear(struct bundle *bundle);
/* What brokers are to be given: ours first, then every imported issuer's certificate and last CRL. */
int bundle_of_record(struct ca *ca, struct bundle *ret);
/* What they have. A file that is missing, or cannot be parsed, must not stand in the way of a sound one. */
void bundle_of_files(const char *dir, struct bundle *ret);
/* A bundle's CRL by this issuer, borrowed; NULL when it has none. */
X509_CRL *bundle_crl(const struct bundle *bundle, X509 *issuer);
bool bundle_has(const struct bundle *bundle, X509 *issuer);
/* The CRLs for the moment in which a broker may still read the old CA file: the new ones, and those of
 * issuers that are to go. */
int bundle_between(const struct bundle *old, const struct bundle *new, struct pc_bytes *ret_crl_pem);

/* preflight.c: old files against new. Reads the record, writes nothing. */
int preflight(struct ca *ca, const struct bundle *old, const struct bundle *new, const char *retired,
              struct ca_publish_report *report);

/* files.c */
struct layout {
    const char *dir;
    struct ca_publish_report *report;
};
/* <dir>/<folder>/<name>, 0644, durable. */
int layout_install(struct layout *layout, const char *folder, const char *name,
                   const struct pc_bytes *content);
/* Both files say what the bundle says, read from the disk. */
int layout_reread(const struct layout *layout, const struct bundle *bundle);
/* devices/; all of it durable when it returns. */
int layout_leaves(struct layout *layout, struct ca *ca);

/* broker.c: broker/broker.crt, unless it is for another key than the one that lies there and nobody has said
 * that the broker has that key: the report has `broker_left` then, and the second makes a refusal of it. */
int layout_broker(struct layout *layout, struct ca *ca, const struct ca_publish_options *options);
int layout_broker_left(const struct ca_publish_report *report);

/* probe.c: what a broker is asked with. */
struct probe {
    X509 *good, *canary;
    EVP_PKEY *good_key, *canary_key;
    char *host;
    uint16_t port;
};
void probe_clear(struct probe *probe);
/* A good certificate for an hour, its key in memory only, and the canary: revoked, its key in
 * state/canary.key; made when one of the two is missing or runs out. Needs the token. */
int probe_prepare(struct ca *ca, const char *address, struct probe *ret);
/* Asks, for a few seconds: a reload takes its time. */
int probe_ask(struct ca *ca, const struct probe *probe, const struct bundle *bundle);

#endif
