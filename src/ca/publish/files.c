/* The layout that brokers mount: ca/, devices/, broker/, each file replaced in place and readable by
 * everyone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/ca/publish/publication.h"
#include "src/pki/bundle.h"
#include "src/pki/openssl.h"

#define LEAF_MAX 65536 /* bytes of a file that could be a leaf of ours */

static int make_folder(const struct layout *layout, const char *name, char **ret)
{
    char *path = pc_path_join(layout->dir, name);
    if (!path)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = pc_dir_make(path, 0755);
    if (r < 0)
        free(path);
    else
        *ret = path;
    return r;
}

static bool holds(const char *path, const struct pc_bytes *content)
{
    struct stat status;
    pc_autobytes found = {0};
    return lstat(path, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 07777) == 0644 &&
           pc_file_read(path, CA_FILE_MAX, &found) == 0 && found.len == content->len &&
           memcmp(found.data, content->data, found.len) == 0;
}

/* Readable by everyone, whatever the umask: a broker that cannot read its CRL checks none. */
int layout_install(struct layout *layout, const char *name, const struct pc_bytes *content)
{
    pc_autofree char *folder = NULL;
    int r = make_folder(layout, "ca", &folder);
    pc_autofree char *path = r == 0 ? pc_path_join(folder, name) : NULL;
    if (r < 0 || !path)
        return r < 0 ? r : pc_fail(PC_EFAIL, "out of memory");
    if (holds(path, content)) {
        layout->report->unchanged++;
        return 0;
    }
    r = pc_file_write(path, content->data, content->len, &(struct pc_file_options){.mode = 0644});
    if (r == 0)
        layout->report->written++;
    return r;
}

int layout_reread(const struct layout *layout, const struct bundle *bundle)
{
    struct bundle PC_CLEANUP(bundle_clear) found = {0};
    bundle_of_files(layout->dir, &found);
    if (!found.certificates || !found.crls || found.ca_pem.len != bundle->ca_pem.len ||
        memcmp(found.ca_pem.data, bundle->ca_pem.data, bundle->ca_pem.len) != 0 ||
        found.crl_pem.len != bundle->crl_pem.len ||
        memcmp(found.crl_pem.data, bundle->crl_pem.data, bundle->crl_pem.len) != 0)
        return pc_fail(PC_EFAIL, "%s/ca: what was written cannot be read back", layout->dir);
    return 0;
}

/* How a certificate of ours stands in its file: one PEM block and nothing else. */
static size_t pem_len(size_t der_len)
{
    size_t base64 = (der_len + 2) / 3 * 4;
    return sizeof "-----BEGIN CERTIFICATE-----" + base64 + (base64 + 63) / 64 +
           sizeof "-----END CERTIFICATE-----";
}

/* SHA-256 of the one certificate in a file that says nothing else; "" for any other file. Much less work than
 * building what the file should hold, and most files hold what they should. */
static void leaf_sha256(int dir, const char *name, char ret[PKI_FINGERPRINT_TEXT])
{
    char path[300];
    struct stat status;
    pc_autobytes text = {0};
    pki_autoder *label = NULL;
    pki_autoder *header = NULL;
    pki_autoder *der = NULL;
    long len = 0;
    ret[0] = '\0';
    snprintf(path, sizeof path, "%s/device.crt", name);
    pc_autoclose int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || (status.st_mode & 07777) != 0644 ||
        status.st_size > LEAF_MAX || pc_fd_read(fd, path, LEAF_MAX, &text) < 0)
        return;
    PC_CLEANUP(BIO_free_all_ref)
    BIO *in = BIO_new_mem_buf(text.data ? (const void *)text.data : "", (int)text.len);
    if (in && PEM_read_bio(in, (char **)&label, (char **)&header, &der, &len) == 1 &&
        strcmp((const char *)label, PEM_STRING_X509) == 0 && text.len == pem_len((size_t)len) &&
        pki_digest_hex(der, (size_t)len, ret) < 0)
        ret[0] = '\0';
    ERR_clear_error();
}

struct leaves {
    struct layout *layout;
    struct ca *ca;
    int devices; /* the folder */
    bool touched;
};

/* Not yet durable: one syncfs follows them all. */
static int write_leaf(struct leaves *leaves, const struct ledger_certificate *row)
{
    pc_autobytes chain = {0};
    int r = ca_chain_pem(leaves->ca, row->id, &chain);
    if (r < 0)
        return r;
    bool fresh = mkdirat(leaves->devices, row->record.cn, 0755) == 0;
    if (!fresh && errno != EEXIST)
        return pc_fail_errno(PC_EFAIL, "%s/devices/%s", leaves->layout->dir, row->record.cn);
    pc_autoclose int folder =
        openat(leaves->devices, row->record.cn, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    /* What the umask took away. */
    if (folder < 0 || (fresh && fchmod(folder, 0755) != 0))
        return pc_fail_errno(PC_EFAIL, "%s/devices/%s", leaves->layout->dir, row->record.cn);
    r = pc_file_write_at(folder, "device.crt", chain.data, chain.len,
                         &(struct pc_file_options){.mode = 0644, .behind = true});
    if (r < 0)
        return pc_fail_in("%s/devices/%s", leaves->layout->dir, row->record.cn);
    leaves->layout->report->written++;
    leaves->touched = true;
    return 0;
}

static int install_leaf(void *context, const struct ledger_certificate *row)
{
    struct leaves *leaves = context;
    char found[PKI_FINGERPRINT_TEXT];
    if (!pki_uuid_is_canonical(row->record.cn))
        return 0; /* an imported name is no folder of ours */
    leaf_sha256(leaves->devices, row->record.cn, found);
    if (strcmp(found, row->record.certificate_sha256) != 0)
        return write_leaf(leaves, row);
    leaves->layout->report->unchanged++;
    return 0;
}

/* A file of ours whose certificate is revoked is of no more use; anything else there is not ours to remove.
 */
static int remove_revoked(void *context, const struct ledger_certificate *row)
{
    struct leaves *leaves = context;
    char found[PKI_FINGERPRINT_TEXT], path[300];
    if (!pki_uuid_is_canonical(row->record.cn))
        return 0;
    leaf_sha256(leaves->devices, row->record.cn, found);
    if (!*found || strcmp(found, row->record.certificate_sha256) != 0)
        return 0;
    snprintf(path, sizeof path, "%s/device.crt", row->record.cn);
    if (unlinkat(leaves->devices, path, 0) != 0)
        return pc_fail_errno(PC_EFAIL, "%s/devices/%s", leaves->layout->dir, path);
    leaves->layout->report->removed++;
    leaves->touched = true;
    return 0;
}

/* The one of the configured name: another host's is of no use with the key that lies beside this one. */
static int install_broker(struct leaves *leaves)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const char *cn = leaves->ca->settings->broker_cn;
    const struct ledger_query current = {
        .subject = cn, .profile = pki_profile_broker.name, .states = LEDGER_BIT(LEDGER_CURRENT)};
    pc_autofree char *folder = NULL;
    pc_autobytes chain = {0};
    int r = ledger_collect(leaves->ca->ledger, &current, &rows);
    if (r < 0)
        return r;
    if (rows.count == 0) {
        pc_log(PC_LOG_WARNING, "no current certificate for the broker %s ([broker] cn): none is published",
               cn);
        return 0;
    }
    r = ca_chain_pem(leaves->ca, rows.rows[0].id, &chain);
    if (r == 0)
        r = make_folder(leaves->layout, "broker", &folder);
    pc_autofree char *path = r == 0 ? pc_path_join(folder, "broker.crt") : NULL;
    if (r < 0 || !path)
        return r < 0 ? r : pc_fail(PC_EFAIL, "out of memory");
    if (holds(path, &chain)) {
        leaves->layout->report->unchanged++;
        return 0;
    }
    r = pc_file_write(path, chain.data, chain.len, &(struct pc_file_options){.mode = 0644});
    if (r == 0)
        leaves->layout->report->written++;
    return r;
}

int layout_leaves(struct layout *layout, struct ca *ca)
{
    const struct ledger_ops *ops = ca->ledger->ops;
    const struct ledger_query current = {.profile = pki_profile_device.name,
                                         .states = LEDGER_BIT(LEDGER_CURRENT)};
    const struct ledger_query revoked = {.profile = pki_profile_device.name,
                                         .states = LEDGER_BIT(LEDGER_REVOKED)};
    pc_autofree char *path = NULL;
    int r = make_folder(layout, "devices", &path);
    if (r < 0)
        return r;
    pc_autoclose int devices = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (devices < 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    struct leaves leaves = {.layout = layout, .ca = ca, .devices = devices};
    r = ops->find(ca->ledger, &current, install_leaf, &leaves);
    if (r == 0)
        r = ops->find(ca->ledger, &revoked, remove_revoked, &leaves);
    if (r == 0)
        r = install_broker(&leaves);
    if (r == 0 && leaves.touched)
        r = pc_dir_syncfs(path);
    return r;
}
