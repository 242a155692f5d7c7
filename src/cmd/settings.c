/* Which configuration is in effect, and the command that shows it. What the settings are is in each program's
 * table. */
#include "src/cmd/command.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/cmd/output.h"

const char *cmd_settings_file(const struct cmd *cmd)
{
    const char *named = cmd_value(cmd, "config");

    if (named == NULL)
        named = secure_getenv(cmd->program->config_env);
    if (named != NULL && named[0] != '\0')
        return named;
    return pc_file_exists(cmd->program->config_path) ? cmd->program->config_path : NULL;
}

/* A setting with a default cannot be switched off by an empty value. */
static int check_empty(const struct pc_config *config)
{
    const struct pc_setting *setting;
    const char *value, *origin;

    for (size_t i = 0; pc_config_row(config, i, &setting, &value, &origin); i++)
        if (value == NULL && setting->fallback != NULL)
            return pc_fail(PC_EUSAGE, "%s: [%s] %s must not be empty", origin, setting->section,
                           setting->key);
    return 0;
}

static bool is_path(const struct cmd_program *program, const struct cmd_option *option)
{
    for (size_t i = 0; i < program->setting_count; i++)
        if (strcmp(program->settings[i].section, option->section) == 0 &&
            strcmp(program->settings[i].key, option->key) == 0)
            return program->settings[i].check == pc_check_path;
    return false;
}

/* A path on the command line is meant from the working folder; in a file it must be absolute. */
static int override(struct cmd *cmd, const struct cmd_option *option, const char *value)
{
    pc_autofree char *folder = NULL, *absolute = NULL;
    char origin[64];

    if (value[0] != '/' && is_path(cmd->program, option)) {
        folder = getcwd(NULL, 0);
        if (folder == NULL)
            return pc_fail_errno(PC_EFAIL, "working folder");
        absolute = pc_path_join(folder, value);
        if (absolute == NULL)
            return pc_fail(PC_EFAIL, "out of memory");
        value = absolute;
    }
    snprintf(origin, sizeof origin, "--%s", option->name);
    return pc_config_override(cmd->config, option->section, option->key, value, origin);
}

int cmd_load_settings(struct cmd *cmd)
{
    const struct cmd_command *command = cmd->command;
    int rc = pc_config_load(cmd->program->settings, cmd->program->setting_count, cmd_settings_file(cmd),
                            &cmd->config);

    for (size_t i = 0; rc == 0 && i < command->option_count; i++) {
        const struct cmd_option *option = &command->options[i];
        const char *value = cmd_value(cmd, option->name);

        if (option->key != NULL && value != NULL)
            rc = override(cmd, option, value);
    }
    return rc != 0 ? rc : check_empty(cmd->config);
}

int cmd_run_config(struct cmd *cmd)
{
    const struct pc_setting *setting;
    const char *value, *origin, *section = "";
    json_t *rows = json_array();

    for (size_t i = 0; pc_config_row(cmd->config, i, &setting, &value, &origin); i++) {
        if (strcmp(setting->section, section) != 0)
            cmd_print(cmd, "%s[%s]\n", i == 0 ? "" : "\n", setting->section);
        section = setting->section;
        cmd_print(cmd, "%-16s = %-40s # %s\n", setting->key, value != NULL ? value : "", origin);
        json_array_append_new(rows,
                              json_pack("{s:s,s:s,s:o,s:o}", "section", setting->section, "key", setting->key,
                                        "value", cmd_json_text(value), "origin", cmd_json_text(origin)));
    }
    const char *file = cmd_settings_file(cmd);
    cmd_set(cmd, "{s:o,s:o}", "file", cmd_json_text(file), "settings", rows);
    return 0;
}
