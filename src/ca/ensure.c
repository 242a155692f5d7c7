/* Idempotent making: silent where the CA is sound, `init` where there is nothing, a refusal where something
 * is half there. */
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/audit/checkpoint.h"
#include "src/ca/audit/key.h"
#include "src/ca/internal.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

static int half(const char *path, const char *what)
{
    return pc_refuse("ca-half", "%s: %s", path, what);
}

static int check_certificate_file(struct ca *ca, const char *path)
{
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    pc_autobytes file = {0};
    if (!pc_file_exists(path))
        return half(path, "missing, though the ledger holds a CA");
    int r = pc_file_read(path, CA_FILE_MAX, &file);
    if (r == 0)
        r = pki_certificate_parse(file.data, file.len, &certificate);
    if (r < 0)
        return r == PC_EREFUSED ? half(path, "not a certificate") : r;
    return X509_cmp(certificate, ca->certificate) == 0
               ? 0
               : half(path, "not the CA certificate that the ledger holds");
}

/* An older CRL of ours is what a power cut leaves between the record and the file: written again. */
static int check_crl_file(struct ca *ca, const char *path)
{
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    pc_autobytes file = {0}, recorded = {0};
    struct ledger_crl last;
    uint64_t number = 0;
    if (!pc_file_exists(path))
        return half(path, "missing, though the ledger holds a CA; plantca crl makes one");
    int r = crl_last_pem(ca, &last, &recorded);
    if (r == 0)
        r = pc_file_read(path, CA_FILE_MAX, &file);
    if (r < 0)
        return r;
    if (file.len == recorded.len && memcmp(file.data, recorded.data, file.len) == 0)
        return 0;
    r = pki_crl_parse(file.data, file.len, &crl);
    if (r == 0)
        r = pki_crl_number(crl, &number);
    if (r < 0 || X509_CRL_verify(crl, ca->public_key) != 1)
        return half(path, "not a CRL of this CA");
    return number < last.number ? crl_write(ca, &recorded) : half(path, "not the CRL that the ledger holds");
}

/* Under the lock, so that nobody is between a record and its file. */
static int check_files(struct ca *ca, const struct ca_summary *summary)
{
    pc_autoclose int lock = -1;
    int r = ca_lock(ca->settings, &lock);
    if (r == 0)
        r = check_certificate_file(ca, summary->certificate_path);
    return r < 0 ? r : check_crl_file(ca, summary->crl_path);
}

/* An init that was interrupted at its very end, or a CA of a time before there were audit keys. */
static int ensure_vouched(struct ca *ca)
{
    struct checkpoint_standing standing;
    int r = audit_key_ensure(ca);
    if (r == 0)
        r = checkpoint_standing(ca, &standing);
    return r < 0 || standing.last.id ? r : checkpoint_make(ca, 0);
}

static int write_certificate(struct ca *ca, const char *path)
{
    pc_autobytes pem = {0};
    int r = pki_certificate_append_pem(ca->certificate, &pem);
    return r < 0 ? r : pc_file_write(path, pem.data, pem.len, NULL);
}

static int tell_of_join(struct ca *ca)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "join", .outcome = "done"});
    return r < 0 ? r : ca_commit(ca, &open);
}

/* Another station's ledger, and a token that holds its key: this folder is one more station's. The
 * certificate comes last: it says that all is here. */
static int join(struct ca *ca, const struct ca_summary *summary)
{
    pc_autoclose int lock = -1;
    pc_autobytes crl = {0};
    struct ledger_crl last;
    int r = ca_signing_key(ca);
    if (r == 0)
        r = ca_state_make(ca->settings);
    if (r == 0)
        r = ca_lock(ca->settings, &lock);
    if (r == 0)
        r = tell_of_join(ca);
    if (r == 0)
        r = crl_last_pem(ca, &last, &crl);
    if (r == 0)
        r = crl_write(ca, &crl);
    return r < 0 ? r : write_certificate(ca, summary->certificate_path);
}

static int check_sound(const struct ca_settings *settings, bool empty, struct ca_summary *ret)
{
    struct ca *ca PC_CLEANUP(ca_close_ref) = NULL;
    struct ca_summary PC_CLEANUP(ca_summary_clear) summary = {0};
    int r = ca_open(settings, &ca);
    if (r == 0)
        r = ca_summarise(ca, &summary);
    if (r == 0 && empty && !summary.ledger_path)
        r = join(ca, &summary);
    if (r == 0)
        r = check_files(ca, &summary);
    if (r == 0)
        r = ca_signing_key(ca);
    if (r == 0)
        r = ensure_vouched(ca);
    if (r < 0)
        return r;
    summary.token = ca->token_info;
    *ret = summary;
    summary = (struct ca_summary){0};
    return 0;
}

static int init_where_nothing_is(const struct ca_settings *settings, struct ca_summary *ret, bool *ret_exists,
                                 bool *ret_empty)
{
    enum ca_standing standing;
    bool empty;
    int r = ca_standing(settings, &standing, &empty);
    if (r < 0)
        return r;
    *ret_exists = standing == CA_ACTIVE;
    *ret_empty = empty;
    if (standing == CA_ACTIVE)
        return 0;
    if (standing == CA_HALF)
        return ca_refuse_half(settings);
    if (standing == CA_NOTHING && !empty)
        return half(settings->state, "no CA, but not empty either; plantca init makes one all the same");
    return ca_init(settings, ret);
}

int ca_ensure(const struct ca_settings *settings, struct ca_summary *ret)
{
    bool exists = false, empty = false;
    int r = init_where_nothing_is(settings, ret, &exists, &empty);
    /* Another ensure may be at it: a key in the token that is its own once its journal is seen, or a CA by
     * now. */
    for (int i = 0; i < 2 && r == PC_EREFUSED && strcmp(pc_error_name(), "ca-exists") == 0; i++)
        r = init_where_nothing_is(settings, ret, &exists, &empty);
    return r == 0 && exists ? check_sound(settings, empty, ret) : r;
}
