/* Each certificate on record: that it is what its row and its audit rows say, and that its issuer signed it.
 */
#include <openssl/err.h>
#include <string.h>

#include "src/base/error.h"
#include "src/ca/audit/verify.h"
#include "src/pki/openssl.h"

/* Where the to-be-signed bytes stand in a certificate: the first element of the outer SEQUENCE. */
static bool find_tbs(const struct pc_bytes *der, size_t *ret_at, size_t *ret_len)
{
    const unsigned char *p = der->data;
    long len;
    int tag, class;
    if (ASN1_get_object(&p, &len, &tag, &class, (long)der->len) & 0x80)
        return false;
    size_t at = (size_t)(p - der->data);
    if (ASN1_get_object(&p, &len, &tag, &class, (long)(der->len - at)) & 0x80)
        return false;
    *ret_at = at;
    *ret_len = (size_t)(p - der->data) - at + (size_t)len;
    return true;
}

struct issuer_search {
    int64_t id, certificate;
};

static int find_issuer(void *context, const struct ledger_issuer *issuer)
{
    struct issuer_search *search = context;
    if (issuer->id == search->id)
        search->certificate = issuer->certificate;
    return 0;
}

static bool signed_by_issuer(const struct verification *v, const struct ledger_certificate *row,
                             X509 *certificate)
{
    PC_CLEANUP(X509_free_ref) X509 *issuer = NULL;
    pc_autobytes der = {0};
    struct ledger *ledger = v->ca->ledger;
    EVP_PKEY *key = v->ca->public_key;
    if (row->issuer != v->ca->issuer.id) {
        struct issuer_search search = {.id = row->issuer};
        if (ledger->ops->issuer_each(ledger, find_issuer, &search) < 0 || !search.certificate ||
            ledger->ops->body(ledger, search.certificate, NULL, &der) < 0 ||
            pki_certificate_parse(der.data, der.len, &issuer) < 0)
            return false;
        key = X509_get0_pubkey(issuer);
    }
    bool good = key && X509_verify(certificate, key) == 1;
    ERR_clear_error();
    return good;
}

/* What is wrong with the certificate itself, or NULL. */
static const char *fault_of(const struct verification *v, const struct ledger_certificate *row,
                            X509 *certificate)
{
    const struct ca_record *r = &row->record;
    char text[PKI_SERIAL_TEXT], key[PKI_FINGERPRINT_TEXT];
    struct pki_serial serial;
    int64_t from, until;
    pc_autofree char *cn = NULL;
    if (pki_serial_of(certificate, &serial) < 0)
        return "its serial number";
    pki_serial_format(&serial, text);
    if (strcmp(text, r->serial) != 0)
        return "its serial number";
    if (pki_key_fingerprint(X509_get0_pubkey(certificate), key) < 0 || strcmp(key, r->key_sha256) != 0)
        return "its key";
    if (pki_certificate_dates(certificate, &from, &until) < 0 || from != r->not_before ||
        until != r->not_after)
        return "its dates";
    if (strcmp(r->origin, "issued") == 0 &&
        (pki_name_cn(X509_get_subject_name(certificate), &cn) < 0 || strcmp(cn, r->cn) != 0))
        return "its subject";
    return signed_by_issuer(v, row, certificate) ? NULL : "its signature";
}

int verify_certificate(struct verification *v, const struct ledger_certificate *row, const char *tbs_sha256)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    pc_autobytes tbs = {0}, der = {0};
    size_t at = 0, len = 0;
    char sha256[PKI_FINGERPRINT_TEXT];
    const char *fault = NULL;
    int r = v->ca->ledger->ops->body(v->ca->ledger, row->id, &tbs, &der);
    if (r < 0)
        return r;
    bool issued = *row->record.certificate_sha256 != '\0';
    if (issued != (der.len > 0))
        fault = issued ? "the certificate itself (it is missing)" : "a certificate that was never issued";
    else if (!issued)
        len = tbs.len;
    else if (pki_digest_hex(der.data, der.len, sha256) < 0 ||
             strcmp(sha256, row->record.certificate_sha256) != 0)
        fault = "its hash";
    else if (pki_certificate_parse(der.data, der.len, &certificate) < 0 || !find_tbs(&der, &at, &len))
        fault = "its encoding";
    else
        fault = fault_of(v, row, certificate);
    if (!fault && len && *tbs_sha256 &&
        (pki_digest_hex((issued ? der : tbs).data + at, len, sha256) < 0 || strcmp(sha256, tbs_sha256) != 0))
        fault = "its to-be-signed bytes";
    if (fault)
        verify_fault(v, "certificate-differs",
                     "ledger row %lld (%s, %s): the bytes on record do not fit the record: %s",
                     (long long)row->id, row->record.serial, row->record.cn, fault);
    return 0;
}
