/* Issuing: who gets which certificate, record first and sign then. */
#ifndef CA_ISSUE_H
#define CA_ISSUE_H

#include "src/ca/authority.h"

/* One certificate on record. */
struct ca_record {
    char serial[PKI_SERIAL_TEXT];
    char profile[16]; /* "device", "broker", "root" */
    char cn[256];     /* plant UUID or host */
    char state[16]; /* "reserved", "signing", "current", "superseded", "held", "revoked", "void", "foreign" */
    char origin[12]; /* "issued"; "imported" from another CA; "incident": signed by our key, and not on record
                      */
    char key_sha256[PKI_FINGERPRINT_TEXT], certificate_sha256[PKI_FINGERPRINT_TEXT];
    int64_t not_before, not_after, issued_at;
    int64_t revoked_at, revoke_after; /* 0: not; revoke_after is the end of a superseded one's overlap */
    int64_t invalid_since;            /* invalidityDate (RFC 5280 §5.3.2); 0: not stated */
    int reason;                       /* CRLReason when revoked or held, else -1 */
    bool expired;                     /* derived, now */
};

struct ca_issued {
    bool already; /* the current certificate, given again */
    struct ca_record record;
    struct pc_bytes chain_pem;        /* leaf, then chain (without the root); owned */
    char superseded[PKI_SERIAL_TEXT]; /* the predecessor's serial, or "" */
    int64_t superseded_until; /* when it will be revoked; 0 when it is revoked already or there is none */
};
void ca_issued_clear(struct ca_issued *issued);

struct ca_sign_options {
    const char *plant;   /* canonical UUID; must be given */
    bool renew;          /* same key, inside the renewal window or expired */
    const char *replace; /* serial (hex) of the current certificate that another key may replace; or NULL */
    int revoke_old;      /* CRLReason that ends the predecessor's overlap at once; -1: none */
};

/* Judges `csr` (before the token is opened), applies the identity rules, records, signs, verifies, records
 * again. PC_EREFUSED with the judge's name or "identity-current" (another key is current: the text names the
 * serial), "identity-key" (the key belongs to another UUID), "identity-revoked" (this key was revoked),
 * "identity-replace" (the serial named is not current), "identity-window" (renewal asked outside the window,
 * an expired or window certificate without renew), "identity-held". PC_EPENDING while another process signs
 * for this plant; what a process that died had begun is finished, or voided. Nothing is signed in any of
 * these. With revoke_old a new CRL is made as well. */
int ca_sign(struct ca *ca, const struct pc_bytes *csr, const struct ca_sign_options *options,
            struct ca_issued *ret);

struct ca_broker_options {
    const char *cn;             /* NULL: the configured one */
    const char *san;            /* NULL: the configured ones; the CN is added */
    const struct pc_bytes *csr; /* NULL: `key` is given */
    EVP_PKEY *key;              /* a fresh key's public half */
};
/* As ca_sign, but whatever is current for this host gives way: another key, other names, or the renewal
 * window make a successor. PC_EREFUSED "broker-plant": the name is a plant's UUID. */
int ca_broker(struct ca *ca, const struct ca_broker_options *options, struct ca_issued *ret);

#endif
