/* Settings by table: strict INI lines, the environment, options. A small reader of our own, since a message
 * must name file and line, and an unknown or doubled key must be refused. */
#include "src/base/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/base/time.h"

#define CONFIG_MAX 65536 /* bytes of a file */

struct value {
    char *text;   /* NULL: the fallback */
    char *origin; /* NULL: "default" */
};

struct pc_config {
    const struct pc_setting *table;
    size_t count;
    struct value *values;
};

void pc_config_free(struct pc_config *config)
{
    if (!config)
        return;
    for (size_t i = 0; config->values && i < config->count; i++) {
        free(config->values[i].text);
        free(config->values[i].origin);
    }
    free(config->values);
    free(config);
}
PC_DEFINE_CLEANUP(struct pc_config, pc_config_free);

static size_t find(const struct pc_config *config, const char *section, const char *key)
{
    size_t i = 0;
    while (i < config->count &&
           (strcmp(config->table[i].section, section) != 0 || strcmp(config->table[i].key, key) != 0))
        i++;
    return i;
}

static bool has_section(const struct pc_config *config, const char *section)
{
    for (size_t i = 0; i < config->count; i++)
        if (strcmp(config->table[i].section, section) == 0)
            return true;
    return false;
}

/* An empty value means: not set. */
static int set(struct pc_config *config, size_t i, const char *text, const char *origin)
{
    if (*text && config->table[i].check) {
        int r = config->table[i].check(text);
        if (r < 0)
            return origin[0] == '-' ? pc_fail_in("%s", origin) /* an option: what is meant is said */
                                    : pc_fail_in("%s: %s", origin, config->table[i].key);
    }
    pc_autofree char *copy = strdup(text), *where = strdup(origin);
    if (!copy || !where)
        return pc_fail(PC_EFAIL, "out of memory");
    free(config->values[i].text);
    free(config->values[i].origin);
    config->values[i] = (struct value){.text = pc_steal(copy), .origin = pc_steal(where)};
    return 0;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

/* A comment starts a line ('#' or ';'), or stands behind white space and a '#'. */
static void cut_comment(char *line)
{
    for (char *c = line; *c; c++)
        if ((*c == '#' && (c == line || isspace((unsigned char)c[-1]))) || (*c == ';' && c == line)) {
            *c = '\0';
            return;
        }
}

static int read_line(struct pc_config *config, char *line, const char *where, char section[64])
{
    cut_comment(line);
    line = trim(line);
    size_t len = strlen(line);
    if (len == 0)
        return 0;
    if (line[0] == '[') {
        if (line[len - 1] != ']')
            return pc_fail(PC_EUSAGE, "%s: '[' without ']'", where);
        line[len - 1] = '\0';
        const char *name = trim(line + 1);
        if (!has_section(config, name))
            return pc_fail(PC_EUSAGE, "%s: no section '%.60s' is known", where, name);
        snprintf(section, 64, "%s", name);
        return 0;
    }
    char *equals = strchr(line, '=');
    if (!equals)
        return pc_fail(PC_EUSAGE, "%s: neither [section] nor key = value", where);
    *equals = '\0';
    const char *key = trim(line), *value = trim(equals + 1);
    if (*section == '\0')
        return pc_fail(PC_EUSAGE, "%s: '%.60s' stands before any [section]", where, key);
    size_t i = find(config, section, key);
    if (i == config->count)
        return pc_fail(PC_EUSAGE, "%s: no key '%.60s' is known in [%s]", where, key, section);
    if (config->values[i].text)
        return pc_fail(PC_EUSAGE, "%s: '%s' stands at %s already", where, key, config->values[i].origin);
    return set(config, i, value, where);
}

static int read_file(struct pc_config *config, const char *path)
{
    pc_autobytes bytes = {0};
    int r = pc_file_read(path, CONFIG_MAX, &bytes);
    if (r < 0)
        return pc_fail(PC_EUSAGE, "configuration: %s", pc_error_text());
    if (memchr(bytes.data, '\0', bytes.len))
        return pc_fail(PC_EUSAGE, "%s: holds a NUL byte", path);
    char section[64] = "";
    char *next = (char *)bytes.data;
    for (unsigned number = 1; next; number++) {
        char *line = strsep(&next, "\n");
        pc_autofree char *where = NULL;
        if (asprintf(&where, "%s:%u", path, number) < 0)
            return pc_fail(PC_EFAIL, "out of memory");
        r = read_line(config, line, where, section);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_environment(struct pc_config *config)
{
    for (size_t i = 0; i < config->count; i++) {
        const char *name = config->table[i].env;
        const char *text = name ? secure_getenv(name) : NULL;
        if (!text || !*text)
            continue;
        char origin[96];
        snprintf(origin, sizeof origin, "environment %s", name);
        int r = set(config, i, text, origin);
        if (r < 0)
            return r;
    }
    return 0;
}

int pc_config_load(const struct pc_setting *table, size_t count, const char *path, struct pc_config **ret)
{
    PC_CLEANUP(pc_config_free_ref) struct pc_config *config = calloc(1, sizeof *config);
    if (!config)
        return pc_fail(PC_EFAIL, "out of memory");
    *config =
        (struct pc_config){.table = table, .count = count, .values = calloc(count, sizeof *config->values)};
    if (!config->values)
        return pc_fail(PC_EFAIL, "out of memory");
    int r = path ? read_file(config, path) : 0;
    if (r == 0)
        r = read_environment(config);
    if (r < 0)
        return r;
    *ret = pc_steal(config);
    return 0;
}

int pc_config_override(struct pc_config *config, const char *section, const char *key, const char *value,
                       const char *origin)
{
    size_t i = find(config, section, key);
    if (i == config->count)
        abort();
    return set(config, i, value, origin);
}

bool pc_config_row(const struct pc_config *config, size_t i, const struct pc_setting **ret_setting,
                   const char **ret_value, const char **ret_origin)
{
    if (i >= config->count)
        return false;
    const struct value *value = &config->values[i];
    const char *text = value->text ? value->text : config->table[i].fallback;
    *ret_setting = &config->table[i];
    *ret_value = text && *text ? text : NULL;
    *ret_origin = value->origin ? value->origin : "default";
    return true;
}

static const char *look_up(const struct pc_config *config, const char *section, const char *key,
                           const char **ret_origin)
{
    const struct pc_setting *setting;
    const char *text;
    if (!pc_config_row(config, find(config, section, key), &setting, &text, ret_origin))
        abort();
    return text;
}

const char *pc_config_get(const struct pc_config *config, const char *section, const char *key)
{
    const char *origin;
    return look_up(config, section, key, &origin);
}

const char *pc_config_origin(const struct pc_config *config, const char *section, const char *key)
{
    const char *origin;
    look_up(config, section, key, &origin);
    return origin;
}

bool pc_config_flag(const struct pc_config *config, const char *section, const char *key)
{
    const char *text = pc_config_get(config, section, key);
    return text && strcmp(text, "yes") == 0;
}

int64_t pc_config_number(const struct pc_config *config, const char *section, const char *key)
{
    const char *text = pc_config_get(config, section, key);
    return text ? strtoll(text, NULL, 10) : 0;
}

int64_t pc_config_duration(const struct pc_config *config, const char *section, const char *key)
{
    const char *text = pc_config_get(config, section, key);
    int64_t seconds = 0;
    return text && pc_duration_parse(text, &seconds) == 0 ? seconds : 0;
}

int pc_check_flag(const char *value)
{
    if (strcmp(value, "yes") == 0 || strcmp(value, "no") == 0)
        return 0;
    return pc_fail(PC_EUSAGE, "'%.40s' is neither yes nor no", value);
}

static int check_range(const char *value, int64_t low, int64_t high)
{
    size_t digits = strspn(value, "0123456789");
    int64_t number = digits && digits < 12 ? strtoll(value, NULL, 10) : -1;
    if (value[digits] != '\0' || number < low || number > high)
        return pc_fail(PC_EUSAGE, "'%.40s' is no whole number from %lld to %lld", value, (long long)low,
                       (long long)high);
    return 0;
}

int pc_check_days(const char *value)
{
    return check_range(value, 1, 36500);
}

int pc_check_duration(const char *value)
{
    int64_t seconds;
    return pc_duration_parse(value, &seconds);
}

int pc_check_path(const char *value)
{
    if (value[0] != '/')
        return pc_fail(PC_EUSAGE, "'%.200s' is no absolute path", value);
    return 0;
}
