/* Publication: what is on record goes into the layout that brokers mount. CRL first, then the CA file: a
 * broker that reads in between knows every revocation that it needs. */
#include "src/ca/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/time.h"
#include "src/ca/internal.h"
#include "src/pki/crl.h"
#include "src/pki/openssl.h"

struct publication {
    struct ca *ca;
    const char *dir;
    struct ca_publish_report report;
};

/* "<dir>/<folder>/<name>", the folders made. */
static int place(const struct publication *p, const char *folder, const char *name, char **ret)
{
    pc_autofree char *parent = pc_path_join(p->dir, folder);
    char *path = parent ? pc_path_join(parent, name) : NULL;
    if (!path)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = pc_dir_make(parent, 0755);
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
static int install(struct publication *p, const char *path, const struct pc_bytes *content)
{
    if (holds(path, content)) {
        p->report.unchanged++;
        return 0;
    }
    int r = pc_file_write(path, content->data, content->len, &(struct pc_file_options){.mode = 0644});
    if (r == 0)
        p->report.written++;
    return r;
}

static int reread_failed(const char *path)
{
    return pc_fail(PC_EFAIL, "%s: what was written cannot be read back: %s", path, pc_error_text());
}

static int install_crl(struct publication *p, const struct pc_bytes *pem, uint64_t number)
{
    pc_autofree char *path = NULL;
    PC_CLEANUP(X509_CRL_free_ref) X509_CRL *crl = NULL;
    pc_autobytes file = {0};
    uint64_t found = 0;
    int r = place(p, "ca", "ca.crl", &path);
    if (r == 0)
        r = install(p, path, pem);
    if (r < 0)
        return r;
    if (pc_file_read(path, CA_FILE_MAX, &file) < 0 || pki_crl_parse(file.data, file.len, &crl) < 0 ||
        pki_crl_number(crl, &found) < 0)
        return reread_failed(path);
    if (found != number || X509_CRL_verify(crl, p->ca->public_key) != 1)
        return pc_fail(PC_EFAIL, "%s: not CRL %llu after writing it", path, (unsigned long long)number);
    p->report.crl_number = number;
    return 0;
}

static int install_certificate(struct publication *p)
{
    pc_autofree char *path = NULL;
    PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
    pc_autobytes pem = {0}, file = {0};
    int r = pki_certificate_append_pem(p->ca->certificate, &pem);
    if (r == 0)
        r = place(p, "ca", "ca.crt", &path);
    if (r == 0)
        r = install(p, path, &pem);
    if (r < 0)
        return r;
    if (pc_file_read(path, CA_FILE_MAX, &file) < 0 ||
        pki_certificate_parse(file.data, file.len, &certificate) < 0)
        return reread_failed(path);
    return X509_cmp(certificate, p->ca->certificate) == 0
               ? 0
               : pc_fail(PC_EFAIL, "%s: not the CA certificate after writing it", path);
}

static int device_path(const struct publication *p, const char *uuid, char **ret)
{
    pc_autofree char *folder = pc_path_join("devices", uuid);
    return folder ? place(p, folder, "device.crt", ret) : pc_fail(PC_EFAIL, "out of memory");
}

static int install_leaf(void *context, const struct ledger_certificate *row)
{
    struct publication *p = context;
    pc_autofree char *path = NULL;
    pc_autobytes chain = {0};
    int r = ca_chain_pem(p->ca, row->id, &chain);
    if (r == 0 && strcmp(row->record.profile, pki_profile_device.name) == 0)
        r = device_path(p, row->record.cn, &path);
    else if (r == 0)
        r = place(p, "broker", "broker.crt", &path);
    return r < 0 ? r : install(p, path, &chain);
}

/* A file of ours whose certificate is revoked is of no more use; anything else there is not ours to remove.
 */
static int remove_revoked(void *context, const struct ledger_certificate *row)
{
    struct publication *p = context;
    pc_autofree char *dir = pc_path_join(p->dir, "devices");
    pc_autofree char *folder = dir ? pc_path_join(dir, row->record.cn) : NULL;
    pc_autofree char *path = folder ? pc_path_join(folder, "device.crt") : NULL;
    pc_autobytes chain = {0};
    if (!path)
        return pc_fail(PC_EFAIL, "out of memory");
    if (!pc_file_exists(path))
        return 0;
    int r = ca_chain_pem(p->ca, row->id, &chain);
    if (r < 0 || !holds(path, &chain))
        return r;
    if (unlink(path) != 0)
        return pc_fail_errno(PC_EFAIL, "%s", path);
    p->report.removed++;
    return pc_dir_sync(folder);
}

/* The one of the configured name: another host's is of no use with the key that lies beside this one. */
static int install_broker(struct publication *p)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query current = {.subject = p->ca->settings->broker_cn,
                                         .profile = pki_profile_broker.name,
                                         .states = LEDGER_BIT(LEDGER_CURRENT)};
    int r = ledger_collect(p->ca->ledger, &current, &rows);
    if (r < 0)
        return r;
    if (rows.count == 0) {
        pc_log(PC_LOG_WARNING, "no current certificate for the broker %s ([broker] cn): none is published",
               p->ca->settings->broker_cn);
        return 0;
    }
    return install_leaf(p, &rows.rows[0]);
}

static int install_leaves(struct publication *p)
{
    const struct ledger_ops *ops = p->ca->ledger->ops;
    const struct ledger_query devices = {.profile = pki_profile_device.name,
                                         .states = LEDGER_BIT(LEDGER_CURRENT)};
    const struct ledger_query revoked = {.profile = pki_profile_device.name,
                                         .states = LEDGER_BIT(LEDGER_REVOKED)};
    int r = ops->find(p->ca->ledger, &devices, install_leaf, p);
    if (r == 0)
        r = ops->find(p->ca->ledger, &revoked, remove_revoked, p);
    return r < 0 ? r : install_broker(p);
}

/* stdout belongs to results: the command's goes to stderr. */
static int run(const char *command)
{
    extern char **environ;
    char *const argv[] = {(char[]){"sh"}, (char[]){"-c"}, strdup(command), NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    if (!argv[2] || posix_spawn_file_actions_init(&actions) != 0) {
        free(argv[2]);
        return pc_fail(PC_EFAIL, "out of memory");
    }
    int rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    /* A PIN may stand open behind --pin-fd, and the token's files behind numbers that the module chose. */
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    if (rc == 0)
        rc = posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    free(argv[2]);
    if (rc != 0)
        return pc_fail(PC_EFAIL, "reload: %s", strerror(rc));
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return pc_fail_errno(PC_EFAIL, "reload");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return pc_fail(PC_EFAIL, "everything is published, but the reload command \"%s\" failed (%s %d)", command,
                   WIFEXITED(status) ? "exit" : "signal",
                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* A CRL past its nextUpdate would shut out the whole fleet, one that lacks a revocation would let a thief in.
 */
static int renew_crl(struct ca *ca)
{
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
    bool due = false;
    int r = crl_due(ca, &due);
    return r < 0 || !due ? r : ca_crl(ca, &report, NULL);
}

static int record(struct ca *ca, uint64_t number)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "publish", .outcome = "done", .crl_number = number});
    return r < 0 ? r : ca_commit(ca, &open);
}

int ca_publish(struct ca *ca, const char *dir, struct ca_publish_report *ret)
{
    struct publication p = {.ca = ca, .dir = dir ? dir : ca->settings->publish_dir};
    pc_autobytes crl = {0};
    pc_autoclose int lock = -1;
    struct ledger_crl last;
    if (!p.dir || !*p.dir)
        return pc_fail(PC_EUSAGE, "no folder to publish to: [publish] dir is not set");
    int r = renew_crl(ca);
    if (r == 0)
        r = ca_lock(ca->settings, &lock);
    if (r == 0)
        r = crl_last_pem(ca, &last, &crl);
    if (r == 0)
        r = install_crl(&p, &crl, last.number);
    if (r == 0)
        r = install_certificate(&p);
    if (r == 0)
        r = install_leaves(&p);
    if (r == 0)
        r = record(ca, last.number);
    if (r == 0 && ca->settings->publish_reload && *ca->settings->publish_reload) {
        r = run(ca->settings->publish_reload);
        p.report.reloaded = r == 0;
    }
    if (r < 0)
        return r;
    *ret = p.report;
    return 0;
}
