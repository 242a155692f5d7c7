/* What stands in the state folder and in the ledger, looked at without changing it. `init` and `ensure`
 * decide by it. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/ca/internal.h"

static int file_there(const struct ca_settings *settings, const char *name, bool *ret)
{
    pc_autofree char *path = NULL;
    int r = ca_state_path(settings, name, &path);
    if (r == 0)
        *ret = pc_file_exists(path);
    return r;
}

/* Left by an interrupted init, or by a station that was about to join: hidden temporary files, the locks, a
 * ledger that holds nothing yet, the name of an audit chain. */
static bool left_by_init(const char *name, const char *ledger_name)
{
    return name[0] == '.' || strcmp(name, "lock") == 0 || strcmp(name, "token.lock") == 0 ||
           strcmp(name, "audit.lock") == 0 || strcmp(name, "chain") == 0 || strcmp(name, "lost+found") == 0 ||
           strncmp(name, ledger_name, strlen(ledger_name)) == 0;
}

static void close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static int folder_empty(const struct ca_settings *settings, bool *ret)
{
    const char *slash =
        strncmp(settings->ledger_url, "sqlite:", 7) == 0 ? strrchr(settings->ledger_url, '/') : NULL;
    DIR *dir PC_CLEANUP(close_dir) = opendir(settings->state);
    *ret = true;
    if (!dir)
        return errno == ENOENT ? 0 : pc_fail_errno(PC_EUNREACH, "%s", settings->state);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (!left_by_init(entry->d_name, slash && slash[1] ? slash + 1 : "ledger.db"))
            *ret = false;
    return errno ? pc_fail_errno(PC_EUNREACH, "%s", settings->state) : 0;
}

static int ledger_standing(const struct ca_settings *settings, enum ca_standing *ret)
{
    struct ledger *ledger PC_CLEANUP(ledger_close_ref) = NULL;
    struct ledger_issuer issuer;
    int r = ledger_open(settings->ledger_url, settings->state, LEDGER_EXISTING, &ledger);
    if (r == PC_EREFUSED && strcmp(pc_error_name(), "ledger-missing") == 0) {
        *ret = CA_NOTHING;
        return 0;
    }
    if (r == 0)
        r = ledger->ops->issuer_get(ledger, &issuer);
    if (r == 0)
        *ret = issuer.active ? CA_ACTIVE : issuer.id ? CA_BEGUN : CA_NOTHING;
    return r;
}

int ca_standing(const struct ca_settings *settings, enum ca_standing *ret, bool *ret_empty)
{
    enum ca_standing standing = CA_NOTHING;
    bool empty = false, certificate = false, crl = false;
    int r = folder_empty(settings, &empty);
    if (r == 0)
        r = file_there(settings, "ca.crt", &certificate);
    if (r == 0)
        r = file_there(settings, "ca.crl", &crl);
    /* Last: a file that another process has just made has its ledger by now. */
    if (r == 0)
        r = ledger_standing(settings, &standing);
    if (r < 0)
        return r;
    *ret = standing == CA_NOTHING && (certificate || crl) ? CA_HALF : standing;
    *ret_empty = empty;
    return 0;
}

int ca_refuse_half(const struct ca_settings *settings)
{
    return pc_refuse("ca-half",
                     "%s: files of a CA are there that the ledger (%s) knows nothing of; restore the ledger",
                     settings->state, settings->ledger_url);
}
