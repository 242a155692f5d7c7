/* The broker's own certificate in the layout. Its key lies elsewhere: one for another key than the broker has
 * stops it at its next start. */
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/ca/publish/publication.h"
#include "src/pki/bundle.h"
#include "src/pki/openssl.h"

#define BROKER_FILE_MAX (1U << 20) /* bytes */

static int count_row(void *context, const struct ledger_certificate *row)
{
    (void)row;
    ++*(size_t *)context;
    return 0;
}

/* Worth a word where this CA has certified brokers, under another name, or one whose certificate was revoked;
 * none was asked for where it never did. */
static int tell_none(struct ca *ca)
{
    size_t count = 0;
    int r = ca->ledger->ops->find(ca->ledger,
                                  &(struct ledger_query){.profile = pki_profile_broker.name, .limit = 1},
                                  count_row, &count);
    if (r == 0 && count > 0)
        pc_log(PC_LOG_WARNING, "no current certificate for the broker %s ([broker] cn): none is published",
               ca->settings->broker_cn);
    return r;
}

/* The one of the configured name: another host's is of no use with the key that lies beside this one. */
static int current_chain(struct ca *ca, struct pc_bytes *ret)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const char *cn = ca->settings->broker_cn;
    const struct ledger_query current = {
        .subject = cn, .profile = pki_profile_broker.name, .states = LEDGER_BIT(LEDGER_CURRENT)};
    int r = ledger_collect(ca->ledger, &current, &rows);
    if (r < 0 || rows.count > 0)
        return r < 0 ? r : ca_chain_pem(ca, rows.rows[0].id, ret);
    return tell_none(ca);
}

/* The first certificate of a file that can be read; NULL: there is none. */
static X509 *first_of(const struct pc_bytes *pem)
{
    STACK_OF(X509) *all = NULL;
    if (pki_bundle_certificates(pem->data, pem->len, &all) < 0)
        return NULL;
    X509 *first = sk_X509_shift(all);
    pki_certificates_free(all);
    return first;
}

/* Whether the file that lies there is for another key. */
static bool is_for_another_key(const struct layout *layout, const struct pc_bytes *chain)
{
    pc_autofree char *path = pc_path_join(layout->dir, "broker/broker.crt");
    pc_autobytes file = {0};
    if (!path || !pc_file_exists(path) || pc_file_read(path, BROKER_FILE_MAX, &file) < 0)
        return false;
    PC_CLEANUP(X509_free_ref) X509 *old = first_of(&file);
    PC_CLEANUP(X509_free_ref) X509 *new = first_of(chain);
    return old && new &&EVP_PKEY_eq(X509_get0_pubkey(old), X509_get0_pubkey(new)) != 1;
}

int layout_broker(struct layout *layout, struct ca *ca, const struct ca_publish_options *options)
{
    pc_autobytes chain = {0};
    int r = current_chain(ca, &chain);
    if (r < 0 || chain.len == 0)
        return r;
    if (!options->new_broker_key && is_for_another_key(layout, &chain)) {
        layout->report->broker_left = true;
        return 0;
    }
    return options->dry_run ? 0 : layout_install(layout, "broker", "broker.crt", &chain);
}

int layout_broker_left(const struct ca_publish_report *report)
{
    if (!report->broker_left)
        return 0;
    return pc_refuse(
        "publish-broker-key",
        "%s/broker/broker.crt was left as it was: the broker's new certificate is for another key. "
        "Put that key in place of the broker's key file, then: plantca publish --new-broker-key",
        report->dir);
}
