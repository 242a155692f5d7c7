/* Identity: who gets which certificate. A pure judgement over rows that were read:
 * no database, no clock, no token. */
#ifndef CA_IDENTITY_H
#define CA_IDENTITY_H

#include "src/ca/ledger.h"

struct identity_request {
    const char *profile, *subject, *key_sha256;
    int64_t issuer; /* row of the CA that would sign */
    /* What the caller is authorised for. */
    bool renew;                /* a successor for the same key */
    bool renew_due;            /* the same, but only where it is due: before that, what is current is given */
    const char *replace;       /* serial that another key may replace; NULL: none */
    bool replace_any;          /* whatever is current may be replaced (the broker's own certificate) */
    bool names_differ;         /* with replace_any: the current one has other names than are wanted now */
    int revoke_old;            /* CRLReason for the predecessor; -1: its overlap is granted */
    int64_t now, renew_window; /* seconds */
};

/* What is on record about the subject and the key. */
struct identity_facts {
    const struct ledger_certificate
        *rows; /* all rows of the subject, and all rows of the key, in any order */
    size_t count;
    const char *key_subject; /* whose key it is; "" when it is new */
    bool unfinished_live;    /* the subject's unfinished row belongs to a process that lives */
};

enum identity_act {
    IDENTITY_GIVE,   /* `row` is the answer */
    IDENTITY_FINISH, /* sign the to-be-signed bytes of the unfinished `row` again */
    IDENTITY_ISSUE,  /* a new certificate, after voiding the unfinished `row` if there is one */
};

struct identity_verdict {
    enum identity_act act;
    const struct ledger_certificate *row;         /* or NULL; borrowed from the facts */
    const struct ledger_certificate *predecessor; /* what it supersedes, or NULL */
};

/* PC_EREFUSED with the names that ca/issue.h lists, and "identity-held"; PC_EPENDING while another process
 * signs for the same subject. */
int identity_judge(const struct identity_request *request, const struct identity_facts *facts,
                   struct identity_verdict *ret);

/* True when no certificate may ever be given to this key again. */
bool identity_key_revoked(const struct identity_facts *facts, const char *key_sha256);

#endif
