/* After a loss: what brokers and plants hold of ours that the ledger does not know any more. */
#include "src/ca/missing.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/audit/line.h"
#include "src/pki/openssl.h"

#define CERTIFICATE_MAX (1U << 20) /* bytes */
#define ACCEPTED "{\"act\":\"accept-loss\","

static void close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* The first certificate in the file, or NULL. */
static X509 *load(const char *path)
{
    pc_autobytes file = {0};
    if (!pc_file_exists(path) || pc_file_read(path, CERTIFICATE_MAX, &file) < 0 || file.len == 0)
        return NULL;
    PC_CLEANUP(BIO_free_all_ref) BIO *bio = BIO_new_mem_buf(file.data, (int)file.len);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    ERR_clear_error();
    return certificate;
}

static int look(struct ca *ca, const struct ca_reconcile_options *options, const char *path)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    PC_CLEANUP(X509_free_ref) X509 *certificate = load(path);
    struct pki_serial serial;
    char text[PKI_SERIAL_TEXT];
    if (!certificate || pki_serial_of(certificate, &serial) < 0)
        return 0;
    pki_serial_format(&serial, text);
    const struct ledger_query query = {.issuer = ca->issuer.id, .serial = text};
    int r = ledger_collect(ca->ledger, &query, &rows);
    if (r < 0 || rows.count)
        return r;
    bool ours = X509_verify(certificate, ca->public_key) == 1;
    ERR_clear_error();
    if (ours)
        options->step(options->context,
                      &(struct ca_reconcile_step){
                          .what = "certificate", .name = text, .subject = path, .did = "missing"});
    return 0;
}

int missing_each(struct ca *ca, const struct ca_reconcile_options *options)
{
    const char *published = ca->settings->publish_dir;
    if (!published || !*published)
        return 0;
    pc_autofree char *folder = pc_path_join(published, "devices");
    if (!folder)
        return pc_fail(PC_EFAIL, "out of memory");
    DIR *dir PC_CLEANUP(close_dir) = opendir(folder);
    if (!dir)
        return errno == ENOENT ? 0 : pc_fail_errno(PC_EFAIL, "%s", folder);
    int r = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
        pc_autofree char *path = NULL;
        if (entry->d_name[0] == '.')
            continue;
        if (asprintf(&path, "%s/%s/device.crt", folder, entry->d_name) < 0) {
            path = NULL;
            return pc_fail(PC_EFAIL, "out of memory");
        }
        r = look(ca, options, path);
    }
    return r;
}

static int find_accepted(void *context, const struct ledger_audit *row)
{
    const int64_t *since = context;
    struct audit_line line;
    return strncmp(row->line, ACCEPTED, sizeof ACCEPTED - 1) == 0 && audit_line_read(row->line, &line) == 0 &&
           line.time >= *since;
}

int missing_accepted(struct ca *ca, int64_t since, bool *ret)
{
    int r = ca->ledger->ops->audit_each(ca->ledger, NULL, 1, find_accepted, &since);
    if (r < 0)
        return r;
    *ret = r > 0;
    return 0;
}
