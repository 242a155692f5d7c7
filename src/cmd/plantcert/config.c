/* plantcert config: the settings in effect, or the OpenSSL configuration that gives a service the TPM key. */
#include "src/cmd/plantcert/plantcert.h"

#include <string.h>

#include "config.h"
#include "src/base/error.h"
#include "src/cmd/output.h"

/* A value in the words of config(5): what has a meaning there is escaped. */
static char *escape(const char *value)
{
    char *escaped = malloc(2 * strlen(value) + 1), *end = escaped;

    for (const char *c = value; escaped != NULL && *c != '\0'; c++) {
        if (strchr("\\$#\"'`", *c) != NULL)
            *end++ = '\\';
        *end++ = *c;
    }
    if (escaped != NULL)
        *end = '\0';
    return escaped;
}

/* "srk-auth-file = …\n", or nothing where none is set; owned by the caller, NULL when out of memory. */
static char *srk_auth_line(struct cmd *cmd)
{
    const char *path = pc_config_get(cmd->config, "tpm", "srk-auth-file");
    pc_autofree char *escaped = path != NULL && *path != '\0' ? escape(path) : NULL;
    char *line = NULL;

    if (path == NULL || *path == '\0')
        return strdup("");
    return escaped != NULL && asprintf(&line, "srk-auth-file = %s\n", escaped) >= 0 ? line : NULL;
}

/* `default` must be named: a configuration that activates only another provider leaves OpenSSL without
 * ciphers. */
static int print_openssl(struct cmd *cmd)
{
    pc_autofree char *module = escape(PLANTCERT_MODULESDIR "/plantcert.so");
    pc_autofree char *tcti = escape(pc_config_get(cmd->config, "tpm", "tcti"));
    pc_autofree char *srk_auth = srk_auth_line(cmd);
    pc_autofree char *text = NULL;

    if (module == NULL || tcti == NULL || srk_auth == NULL ||
        asprintf(&text,
                 "# OpenSSL with the TPM key: give it to a service by OPENSSL_CONF, do not put it into the "
                 "system's file.\n"
                 "# Printed by plantcert %s, \"plantcert config --openssl\".\n"
                 "openssl_conf = openssl_init\n\n"
                 "[openssl_init]\n"
                 "providers = provider_sect\n\n"
                 "[provider_sect]\n"
                 "default = default_sect\n"
                 "plantcert = plantcert_sect\n\n"
                 "[default_sect]\n"
                 "activate = 1\n\n"
                 "[plantcert_sect]\n"
                 "module = %s\n"
                 "activate = 1\n"
                 "tcti = %s\n"
                 "allow-simulator = %s\n"
                 "%s",
                 PLANTCERT_VERSION, module, tcti, pc_config_get(cmd->config, "tpm", "allow-simulator"),
                 srk_auth) < 0) {
        text = NULL;
        return pc_fail(PC_EFAIL, "out of memory");
    }
    cmd_print(cmd, "%s", text);
    cmd_set(cmd, "{s:o}", "openssl", cmd_json_text(text));
    return 0;
}

int plantcert_run_config(struct cmd *cmd)
{
    return cmd_given(cmd, "openssl") ? print_openssl(cmd) : cmd_run_config(cmd);
}
