/* Each CRL on record, and those from outside: signatures, numbers, and that no entry was lost on the way. */
#include <openssl/err.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/audit/verify.h"
#include "src/ca/witness.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

/* The CRL with this number, or NULL when there is none, or none that can be read. */
static int load(struct verification *v, uint64_t number, struct pc_bytes *ret_der, X509_CRL **ret)
{
    struct ledger *ledger = v->ca->ledger;
    if (ledger->ops->crl_body(ledger, v->ca->issuer.id, number, ret_der) < 0)
        return 0; /* reserved, and never issued */
    if (pki_crl_parse(ret_der->data, ret_der->len, ret) < 0)
        verify_fault(v, "crl-differs", "CRL number %llu on record cannot be read",
                     (unsigned long long)number);
    return 0;
}

int verify_last_crl(struct verification *v)
{
    struct ledger_crl last;
    pc_autobytes der = {0};
    int r = v->ca->ledger->ops->crl_last(v->ca->ledger, v->ca->issuer.id, true, &last);
    if (r < 0 || last.number == 0)
        return r;
    v->last_number = last.number;
    return load(v, last.number, &der, &v->last);
}

static bool tbs_fits(const X509_CRL *crl, const char *sha256)
{
    char digest[PKI_FINGERPRINT_TEXT];
    pki_autoder *tbs = NULL;
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *copy = X509_CRL_dup(crl);
    int len = copy ? i2d_re_X509_CRL_tbs(copy, &tbs) : -1;
    return len > 0 && pki_digest_hex(tbs, (size_t)len, digest) == 0 && strcmp(digest, sha256) == 0;
}

/* Whether the chain tells of this CRL, byte for byte. Rows of schema 1 know only what was to be signed. */
static bool is_told(const struct verification *v, uint64_t number, const struct pc_bytes *der,
                    const X509_CRL *crl)
{
    const struct told_crl *told = v->crls.rows;
    char sha256[PKI_FINGERPRINT_TEXT];
    if (pki_digest_hex(der->data, der->len, sha256) < 0)
        return false;
    for (size_t i = 0; i < v->crls.count; i++)
        if (told[i].number == number && told[i].issued &&
            (*told[i].sha256 ? strcmp(told[i].sha256, sha256) == 0 : tbs_fits(crl, told[i].tbs_sha256)))
            return true;
    return false;
}

static bool was_issued(const struct verification *v, uint64_t number)
{
    const struct told_crl *told = v->crls.rows;
    for (size_t i = 0; i < v->crls.count; i++)
        if (told[i].number == number && told[i].issued)
            return true;
    return false;
}

static void verify_one(struct verification *v, uint64_t number, const struct pc_bytes *der, X509_CRL *crl)
{
    uint64_t stated = 0;
    const char *fault = NULL;
    if (X509_CRL_verify(crl, v->ca->public_key) != 1)
        fault = "the CA did not sign it";
    else if (pki_crl_number(crl, &stated) < 0 || stated != number)
        fault = "it bears another number";
    else if (!is_told(v, number, der, crl))
        fault = "no audit row tells of it as it is";
    ERR_clear_error();
    if (fault)
        verify_fault(v, "crl-differs", "CRL number %llu on record: %s", (unsigned long long)number, fault);
}

struct comparison {
    struct verification *v;
    const struct witness *witness;
    const char *from;
};

static int tell_lost(void *context, const struct ledger_entry *entry, const struct ledger_certificate *row)
{
    const struct comparison *c = context;
    verify_fault(c->v, "revocation-lost", "%s (CRL number %llu) lists %s, which the ledger %s%s", c->from,
                 (unsigned long long)c->witness->number, entry->serial, row ? "holds as " : "does not know",
                 row ? row->record.state : "");
    return 0;
}

/* Entries that the next CRL no longer has must be explained by the ledger. */
static int verify_entries(struct verification *v, uint64_t number, X509_CRL *crl, X509_CRL *next,
                          const struct witness_listed *listed)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    const struct witness witness = {.number = number, .crl = crl};
    struct comparison c = {.v = v, .witness = &witness, .from = "a CRL on record"};
    bool gone = next == NULL;
    for (int i = 0; !gone && i < sk_X509_REVOKED_num(entries); i++) {
        X509_REVOKED *found;
        const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i));
        gone = X509_CRL_get0_by_serial(next, &found, serial) == 0;
    }
    return gone ? witness_compare(v->ca, &witness, listed, tell_lost, &c) : 0;
}

int verify_crls(struct verification *v)
{
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    struct witness_listed PC_CLEANUP(witness_listed_clear) listed = {0};
    struct ledger_crl newest;
    int r = v->ca->ledger->ops->crl_last(v->ca->ledger, v->ca->issuer.id, false, &newest);
    if (r == 0)
        r = witness_listed_read(v->ca, &listed);
    /* From the last one back, so that only two are held at a time. */
    for (uint64_t number = newest.number; r == 0 && number > 0; number--) {
        PC_CLEANUP(X509_CRL_free_ref) X509_CRL *one = NULL;
        pc_autobytes der = {0};
        r = load(v, number, &der, &one);
        if (r == 0 && !der.len && was_issued(v, number))
            verify_fault(v, "crl-missing", "CRL number %llu was issued, and is not on record",
                         (unsigned long long)number);
        if (r < 0 || !one)
            continue;
        v->report.crls++;
        verify_one(v, number, &der, one);
        r = verify_entries(v, number, one, crl, &listed);
        X509_CRL_free(crl);
        crl = pc_steal(one);
    }
    return r;
}

struct judging {
    struct verification *v;
    struct witness_listed listed;
    bool seen;
};

static int judge_witness(void *context, const struct witness *w)
{
    struct judging *j = context;
    struct comparison c = {.v = j->v, .witness = w, .from = w->path};
    j->v->report.witnesses++;
    j->seen = true;
    if (w->recorded)
        return 0;
    if (w->number > j->v->last_number)
        verify_fault(
            j->v, "crl-newer",
            "%s has CRL number %llu; the ledger's last is %llu: it is an older copy, or rows were cut "
            "off",
            w->path, (unsigned long long)w->number, (unsigned long long)j->v->last_number);
    else
        verify_fault(j->v, "crl-other", "%s is another CRL number %llu than the one on record", w->path,
                     (unsigned long long)w->number);
    return witness_compare(j->v->ca, w, &j->listed, tell_lost, &c);
}

/* One that someone took the pains to bring along. */
static int judge_given(struct judging *j, const char *path)
{
    if (!pc_file_exists(path))
        return pc_fail(PC_EFAIL, "%s: no such file", path);
    j->seen = false;
    int r = witness_each(j->v->ca, path, judge_witness, j);
    if (r == 0 && !j->seen)
        verify_fault(j->v, "crl-foreign", "%s holds no CRL that our key signed", path);
    return r;
}

int verify_witnesses(struct verification *v)
{
    struct judging j = {.v = v};
    int r = witness_listed_read(v->ca, &j.listed);
    if (r == 0)
        r = witness_each_known(v->ca, judge_witness, &j);
    for (size_t i = 0; r == 0 && i < v->options->crl_count; i++)
        r = judge_given(&j, v->options->crls[i]);
    witness_listed_clear(&j.listed);
    return r;
}
