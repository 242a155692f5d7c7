/* Settings: strict INI files, and which of option, environment, file and default wins. Knows no setting by
 * name. */
#ifndef PC_CONFIG_H
#define PC_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One row of a program's table of settings. All strings are literals. */
struct pc_setting {
    const char *section, *key;
    const char *env;                 /* environment variable that overrides the file, or NULL */
    const char *fallback;            /* default, or NULL when there is none */
    int (*check)(const char *value); /* 0, or PC_EUSAGE with a text; NULL: any value */
};

struct pc_config; /* the settings in effect */

/* Reads `path` (NULL: no file) by the rules of `table` (borrowed for the life of the result), then the
 * environment. PC_EUSAGE with "file:line: …" on an unknown section or key, a duplicate, a bad value, a line
 * that is no INI. `path` must exist. */
int pc_config_load(const struct pc_setting *table, size_t count, const char *path, struct pc_config **ret);
void pc_config_free(struct pc_config *config);

/* An option's value takes precedence over all else; `origin` names it ("--tcti"), a literal. Checked like the
 * others. */
int pc_config_override(struct pc_config *config, const char *section, const char *key, const char *value,
                       const char *origin);

/* The value in effect, borrowed; NULL when there is none. An unknown name is a programming error and aborts.
 */
const char *pc_config_get(const struct pc_config *config, const char *section, const char *key);
/* Where the value came from: "default", "environment CA_DAYS", "/etc/…:12", "--tcti". Borrowed. */
const char *pc_config_origin(const struct pc_config *config, const char *section, const char *key);
/* Row `i` of the table, for listing; false past the end. */
bool pc_config_row(const struct pc_config *config, size_t i, const struct pc_setting **ret_setting,
                   const char **ret_value, const char **ret_origin);

/* For values whose `check` has passed. */
bool pc_config_flag(const struct pc_config *config, const char *section, const char *key);      /* yes / no */
int64_t pc_config_number(const struct pc_config *config, const char *section, const char *key); /* decimal */
int64_t pc_config_duration(const struct pc_config *config, const char *section,
                           const char *key); /* seconds */

/* Checks that tables can name. */
int pc_check_flag(const char *value);     /* yes or no */
int pc_check_days(const char *value);     /* decimal, 1 … 36500 */
int pc_check_duration(const char *value); /* as pc_duration_parse */
int pc_check_path(const char *value);     /* absolute */

#endif
