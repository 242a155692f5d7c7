/* Where results may not go: onto the files by which the authority lives. */
#include "src/cmd/plantca/plantca.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/cmd/output.h"

/* In the state folder; whatever begins so. SQLite puts files of its own beside the ledger. */
static const char *const own_names[] = {"ledger.db", "ca.crt",     "ca.crl",     "canary.",
                                        "lock",      "token.lock", "audit.lock", "jwt.lock"};

/* The folder of `path` without links and dots; NULL where there is none. Owned by the caller. */
static char *real_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    pc_autofree char *folder =
        slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));

    return folder == NULL ? NULL : realpath(folder, NULL);
}

static bool begins_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

static bool is_own(const struct pc_config *config, const char *path)
{
    static const char sqlite[] = "sqlite:/";
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    const char *url = pc_config_get(config, "ledger", "url");
    pc_autofree char *folder = real_folder(path);
    pc_autofree char *state = realpath(pc_config_get(config, "ca", "state"), NULL);

    if (folder == NULL)
        return false;
    for (size_t i = 0; state != NULL && strcmp(folder, state) == 0 && i < CMD_LENGTH(own_names); i++)
        if (begins_with(name, own_names[i]))
            return true;
    if (!begins_with(url, sqlite))
        return false;
    const char *ledger = url + strlen(sqlite) - 1;
    pc_autofree char *home = real_folder(ledger);
    return home != NULL && strcmp(folder, home) == 0 && begins_with(name, strrchr(ledger, '/') + 1);
}

int plantca_check_output(const struct cmd *cmd, const char *path)
{
    int rc = cmd_check_output(path);

    if (rc != 0 || cmd_is_stdout(path) || !is_own(cmd->config, path))
        return rc;
    return pc_refuse("file-own", "%s: one of the CA's own files; results go elsewhere", path);
}
