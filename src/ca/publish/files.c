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
#include "src/ca/publish/publication.h"
#include "src/pki/bundle.h"
#include "src/pki/openssl.h"

#define LEAF_NAME "device.crt"
#define LEAF_MAX 65536 /* bytes of a file that could be a leaf of ours */

/* A folder of the layout, opened; made where it is not there. Links are not followed: others may be able to
 * write there, and one could lead to files that are only ours to write, such as the state folder. */
static int open_folder(const struct layout *layout, const char *name, int *ret_fd)
{
    pc_autoclose int top = -1;
    int r = pc_dir_make(layout->dir, 0755);
    if (r < 0)
        return r;
    top = open(layout->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool fresh = top >= 0 && mkdirat(top, name, 0755) == 0;
    if (top < 0 || (!fresh && errno != EEXIST))
        return pc_fail_errno(PC_EFAIL, "%s/%s", layout->dir, name);
    pc_autoclose int fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return pc_refuse("file-kind", "%s/%s: a link, or no folder", layout->dir, name);
    /* What the umask took away. */
    if (fd < 0 || (fresh && (fchmod(fd, 0755) != 0 || fsync(top) != 0)))
        return pc_fail_errno(PC_EFAIL, "%s/%s", layout->dir, name);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static bool holds(int folder, const char *name, const struct pc_bytes *content)
{
    struct stat status;
    pc_autobytes found = {0};
    pc_autoclose int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    return fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
           (status.st_mode & 07777) == 0644 && pc_fd_read(fd, name, CA_FILE_MAX, &found) == 0 &&
           found.len == content->len && memcmp(found.data, content->data, found.len) == 0;
}

/* Readable by everyone, whatever the umask: a broker that cannot read its CRL checks none. */
int layout_install(struct layout *layout, const char *folder, const char *name,
                   const struct pc_bytes *content)
{
    pc_autoclose int fd = -1;
    int r = open_folder(layout, folder, &fd);
    if (r < 0)
        return r;
    if (holds(fd, name, content)) {
        layout->report->unchanged++;
        return 0;
    }
    r = pc_file_write_at(fd, name, content->data, content->len, &(struct pc_file_options){.mode = 0644});
    if (r < 0)
        return pc_fail_in("%s/%s", layout->dir, folder);
    layout->report->written++;
    return 0;
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
static void leaf_sha256(int folder, char ret[PKI_FINGERPRINT_TEXT])
{
    struct stat status;
    pc_autobytes text = {0};
    pki_autoder *label = NULL;
    pki_autoder *header = NULL;
    pki_autoder *der = NULL;
    long len = 0;
    ret[0] = '\0';
    pc_autoclose int fd =
        folder < 0 ? -1 : openat(folder, LEAF_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || (status.st_mode & 07777) != 0644 ||
        status.st_size > LEAF_MAX || pc_fd_read(fd, LEAF_NAME, LEAF_MAX, &text) < 0)
        return;
    PC_CLEANUP(BIO_free_all_ref)
    BIO *in = BIO_new_mem_buf(text.data ? (const void *)text.data : "", (int)text.len);
    if (in && PEM_read_bio(in, (char **)&label, (char **)&header, &der, &len) == 1 &&
        strcmp((const char *)label, PEM_STRING_X509) == 0 && text.len == pem_len((size_t)len) &&
        pki_digest_hex(der, (size_t)len, ret) < 0)
        ret[0] = '\0';
    ERR_clear_error();
}

/* A plant's folder; -1 where there is none, or a link. */
static int leaf_folder(int devices, const char *name)
{
    return openat(devices, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
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
    pc_autoclose int folder = leaf_folder(leaves->devices, row->record.cn);
    /* What the umask took away. */
    if (folder < 0 || (fresh && fchmod(folder, 0755) != 0))
        return pc_fail_errno(PC_EFAIL, "%s/devices/%s", leaves->layout->dir, row->record.cn);
    r = pc_file_write_at(folder, LEAF_NAME, chain.data, chain.len,
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
    pc_autoclose int folder = leaf_folder(leaves->devices, row->record.cn);
    leaf_sha256(folder, found);
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
    char found[PKI_FINGERPRINT_TEXT];
    if (!pki_uuid_is_canonical(row->record.cn))
        return 0;
    pc_autoclose int folder = leaf_folder(leaves->devices, row->record.cn);
    leaf_sha256(folder, found);
    if (!*found || strcmp(found, row->record.certificate_sha256) != 0)
        return 0;
    if (unlinkat(folder, LEAF_NAME, 0) != 0)
        return pc_fail_errno(PC_EFAIL, "%s/devices/%s/" LEAF_NAME, leaves->layout->dir, row->record.cn);
    leaves->layout->report->removed++;
    leaves->touched = true;
    return 0;
}

int layout_leaves(struct layout *layout, struct ca *ca)
{
    const struct ledger_ops *ops = ca->ledger->ops;
    const struct ledger_query current = {.profile = pki_profile_device.name,
                                         .states = LEDGER_BIT(LEDGER_CURRENT)};
    const struct ledger_query revoked = {.profile = pki_profile_device.name,
                                         .states = LEDGER_BIT(LEDGER_REVOKED)};
    pc_autoclose int devices = -1;
    int r = open_folder(layout, "devices", &devices);
    if (r < 0)
        return r;
    struct leaves leaves = {.layout = layout, .ca = ca, .devices = devices};
    r = ops->find(ca->ledger, &current, install_leaf, &leaves);
    if (r == 0)
        r = ops->find(ca->ledger, &revoked, remove_revoked, &leaves);
    if (r == 0 && leaves.touched && syncfs(devices) != 0)
        r = pc_fail_errno(PC_EFAIL, "%s/devices", layout->dir);
    return r;
}
