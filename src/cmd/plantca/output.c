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

/* Whether both name one file, be it there or not yet; `b` may be NULL. */
static bool is_same(const char *a, const char *b)
{
    const char *name_a = strrchr(a, '/'), *name_b = b == NULL ? NULL : strrchr(b, '/');
    pc_autofree char *folder_a = real_folder(a);
    pc_autofree char *folder_b = b == NULL ? NULL : real_folder(b);

    return folder_a != NULL && folder_b != NULL && strcmp(folder_a, folder_b) == 0 &&
           strcmp(name_a == NULL ? a : name_a + 1, name_b == NULL ? b : name_b + 1) == 0;
}

/* Not every command asks for a PIN. */
static const char *pin_file(const struct cmd *cmd)
{
    for (size_t i = 0; i < cmd->command->option_count; i++)
        if (strcmp(cmd->command->options[i].name, "pin-file") == 0)
            return cmd_value(cmd, "pin-file");
    return NULL;
}

/* Configuration, PIN, and what brokers read. */
static bool is_needed(const struct cmd *cmd, const char *path)
{
    const char *dir = pc_config_get(cmd->config, "publish", "dir");
    pc_autofree char *crt = dir == NULL ? NULL : pc_path_join(dir, "ca/ca.crt");
    pc_autofree char *crl = dir == NULL ? NULL : pc_path_join(dir, "ca/ca.crl");

    return is_same(path, cmd_settings_file(cmd)) || is_same(path, pin_file(cmd)) ||
           is_same(path, pc_config_get(cmd->config, "token", "pin-file")) || is_same(path, crt) ||
           is_same(path, crl);
}

static bool is_in_state(const struct pc_config *config, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    pc_autofree char *folder = real_folder(path);
    pc_autofree char *state = realpath(pc_config_get(config, "ca", "state"), NULL);

    if (folder == NULL || state == NULL || strcmp(folder, state) != 0)
        return false;
    for (size_t i = 0; i < CMD_LENGTH(own_names); i++)
        if (begins_with(name, own_names[i]))
            return true;
    return false;
}

/* With what SQLite puts beside it. */
static bool is_ledger(const struct pc_config *config, const char *path)
{
    static const char sqlite[] = "sqlite:/";
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    const char *url = pc_config_get(config, "ledger", "url");

    if (!begins_with(url, sqlite))
        return false;
    const char *ledger = url + strlen(sqlite) - 1;
    pc_autofree char *folder = real_folder(path);
    pc_autofree char *home = real_folder(ledger);
    return folder != NULL && home != NULL && strcmp(folder, home) == 0 &&
           begins_with(name, strrchr(ledger, '/') + 1);
}

int plantca_check_folder(const struct cmd *cmd, const char *path)
{
    char *there = realpath(path, NULL);
    pc_autofree char *folder = there != NULL ? there : real_folder(path); /* to be made there */
    pc_autofree char *state = realpath(pc_config_get(cmd->config, "ca", "state"), NULL);
    size_t len = state == NULL ? 0 : strlen(state);

    if (folder == NULL || state == NULL || strncmp(folder, state, len) != 0 ||
        (folder[len] != '/' && folder[len] != '\0'))
        return 0;
    return pc_refuse("file-own", "%s: the CA's state folder; what brokers read goes elsewhere", path);
}

int plantca_check_output(const struct cmd *cmd, const char *path)
{
    int rc = cmd_check_output(path);

    if (rc != 0 || cmd_is_stdout(path))
        return rc;
    if (!is_in_state(cmd->config, path) && !is_ledger(cmd->config, path) && !is_needed(cmd, path))
        return 0;
    return pc_refuse("file-own", "%s: one of the CA's own files; results go elsewhere", path);
}
