/* Command lines: getopt_long driven by the tables, once for what stands before the command's name and once
 * for what follows. Says nothing of what an option means. */
#include "src/cmd/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"

const struct cmd_option cmd_common_options[] = {
    {"config", 'c', "FILE", "read settings from FILE", NULL, NULL},
    {"json", 0, NULL, "print JSON", NULL, NULL},
    {"quiet", 'q', NULL, "print no summaries and notices", NULL, NULL},
    {"verbose", 'v', NULL, "say more on standard error", NULL, NULL},
    {"no-input", 0, NULL, "never ask on the terminal", NULL, NULL},
    {"version", 0, NULL, "print the version", NULL, NULL},
    {"help", 'h', NULL, "print this text", NULL, NULL},
};
const size_t cmd_common_option_count = CMD_LENGTH(cmd_common_options);

#define OPTION_BASE 256 /* getopt's values for long options: this and the place in the table */

/* The tables in getopt's form. */
struct getopt_tables {
    const struct cmd_option *rows[CMD_OPTIONS_MAX];
    size_t count;
    struct option longs[CMD_OPTIONS_MAX + 1];
    char shorts[2 + 2 * CMD_OPTIONS_MAX + 1];
};

static void add_options(struct getopt_tables *tables, const struct cmd_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (tables->count == CMD_OPTIONS_MAX)
            abort();
        size_t place = tables->count++;
        tables->rows[place] = &options[i];
        tables->longs[place] = (struct option){
            .name = options[i].name,
            .has_arg = options[i].argument != NULL ? required_argument : no_argument,
            .val = OPTION_BASE + (int)place,
        };
        if (options[i].letter != 0) {
            size_t end = strlen(tables->shorts);
            tables->shorts[end] = options[i].letter;
            if (options[i].argument != NULL)
                tables->shorts[end + 1] = ':';
        }
    }
}

static int place_of(const struct getopt_tables *tables, int found)
{
    if (found >= OPTION_BASE)
        return found - OPTION_BASE;
    for (size_t i = 0; i < tables->count; i++)
        if (tables->rows[i]->letter == found)
            return (int)i;
    abort();
}

static int usage_error(const struct cmd *cmd, const char *what, const char *subject)
{
    return pc_fail(PC_EUSAGE, "%s '%s'; see '%s%s%s --help'", what, subject, cmd->program->name,
                   cmd->command != NULL ? " " : "", cmd->command != NULL ? cmd->command->name : "");
}

/* What getopt complains of: the word on the command line, or the letter. `word` was the word being read. */
static int unknown_option(const struct cmd *cmd, int complaint, const char *word)
{
    char letter[3] = {'-', (char)optopt, 0};
    bool by_letter = optopt > 0 && optopt < OPTION_BASE;
    const char *subject = by_letter ? letter : word;

    if (complaint == ':')
        return usage_error(cmd, "value missing for option", subject);
    if (!by_letter && optopt >= OPTION_BASE)
        return usage_error(cmd, "option takes no value:", subject);
    return usage_error(cmd, "unknown or ambiguous option", subject);
}

static int take_option(struct cmd *cmd, const struct getopt_tables *tables, int found)
{
    int place = place_of(tables, found);
    const struct cmd_option *option = tables->rows[place];

    if (option->argument != NULL) {
        bool many = option->section != NULL && strcmp(option->section, CMD_MANY) == 0;
        if (many && cmd->many_count == CMD_MANY_MAX)
            return pc_fail(PC_EUSAGE, "--%s: more than %d values", option->name, CMD_MANY_MAX);
        if (many) {
            cmd->many[cmd->many_count].option = option->name;
            cmd->many[cmd->many_count++].value = optarg;
        }
        if (cmd->values[place] != NULL && !many)
            return pc_fail(PC_EUSAGE, "--%s is given twice", option->name);
        if (optarg[0] == '\0')
            return pc_fail(PC_EUSAGE, "--%s: the value is empty", option->name);
    }
    cmd->values[place] = option->argument != NULL ? optarg : "";
    return 0;
}

/* Reads options from argv[1] on; with "+" in front, as far as the first word that is none. */
static int read_options(struct cmd *cmd, const struct getopt_tables *tables, int argc, char **argv)
{
    opterr = 0;
    optind = 0; /* GNU: begin anew, and read the mode from the letters */
    for (;;) {
        optopt = 0;
        int found = getopt_long(argc, argv, tables->shorts, tables->longs, NULL);

        if (found == -1)
            return 0;
        int rc = found == '?' || found == ':' ? unknown_option(cmd, found, argv[optind - 1])
                                              : take_option(cmd, tables, found);
        if (rc != 0)
            return rc;
    }
}

static const struct cmd_command *find_command(const struct cmd_program *program, const char *name)
{
    for (size_t i = 0; i < program->command_count; i++)
        if (strcmp(program->commands[i].name, name) == 0)
            return &program->commands[i];
    return NULL;
}

static void take_flags(struct cmd *cmd)
{
    cmd->json = cmd_given(cmd, "json");
    cmd->quiet = cmd_given(cmd, "quiet");
    cmd->verbose = cmd_given(cmd, "verbose");
    cmd->no_input = cmd_given(cmd, "no-input");
    cmd->help = cmd_given(cmd, "help");
    cmd->version = cmd_given(cmd, "version");
}

/* A line that cannot be read to its end may still ask for JSON: then its error is JSON too. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

static int check_operands(struct cmd *cmd)
{
    const struct cmd_command *command = cmd->command;

    if (cmd->operand_count > command->operands_max)
        return usage_error(cmd, "unexpected operand", cmd->operands[command->operands_max]);
    if (cmd->operand_count < command->operands_min)
        return usage_error(cmd, "operand missing:", command->operands);
    return 0;
}

static int parse(struct cmd *cmd, int argc, char **argv)
{
    struct getopt_tables common = {.shorts = "+:"};
    add_options(&common, cmd_common_options, cmd_common_option_count);
    int rc = read_options(cmd, &common, argc, argv);
    if (rc != 0)
        return rc;
    take_flags(cmd);
    int first = optind;
    if (first >= argc)
        return cmd->help || cmd->version
                   ? 0
                   : pc_fail(PC_EUSAGE, "no command given; see '%s --help'", cmd->program->name);
    cmd->command = find_command(cmd->program, argv[first]);
    if (cmd->command == NULL)
        return usage_error(cmd, "unknown command", argv[first]);

    struct getopt_tables all = {.shorts = ":"};
    add_options(&all, cmd_common_options, cmd_common_option_count);
    add_options(&all, cmd->command->options, cmd->command->option_count);
    rc = read_options(cmd, &all, argc - first, argv + first);
    if (rc != 0)
        return rc;
    take_flags(cmd);
    cmd->operands = argv + first + optind;
    cmd->operand_count = (size_t)(argc - first - optind);
    return cmd->help || cmd->version ? 0 : check_operands(cmd);
}

int cmd_parse(struct cmd *cmd, int argc, char **argv)
{
    bool json = asks_for_json(argc, argv);
    int rc = parse(cmd, argc, argv);

    if (rc != 0)
        cmd->json = json;
    return rc;
}

const char *cmd_value(const struct cmd *cmd, const char *option)
{
    for (size_t i = 0; i < cmd_common_option_count; i++)
        if (strcmp(cmd_common_options[i].name, option) == 0)
            return cmd->values[i];
    for (size_t i = 0; cmd->command != NULL && i < cmd->command->option_count; i++)
        if (strcmp(cmd->command->options[i].name, option) == 0)
            return cmd->values[cmd_common_option_count + i];
    abort(); /* no such option in the table of this command */
}

bool cmd_given(const struct cmd *cmd, const char *option)
{
    return cmd_value(cmd, option) != NULL;
}

int cmd_choose(const struct cmd *cmd, bool none, const char *const *options)
{
    const char *first = NULL;
    char names[256] = "";

    for (size_t i = 0; options[i] != NULL; i++) {
        size_t end = strlen(names);
        snprintf(names + end, sizeof names - end, "%s--%s", i == 0 ? "" : ", ", options[i]);
        if (!cmd_given(cmd, options[i]))
            continue;
        if (first != NULL)
            return pc_fail(PC_EUSAGE, "--%s and --%s exclude each other", first, options[i]);
        first = options[i];
    }
    if (first == NULL && !none)
        return pc_fail(PC_EUSAGE, "one of %s must be given", names);
    return 0;
}

int cmd_number(const struct cmd *cmd, const char *option, long min, long max, long *ret)
{
    const char *text = cmd_value(cmd, option);
    char *end = NULL;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || value < min || value > max)
        return pc_fail(PC_EUSAGE, "--%s: '%s' is no number from %ld to %ld", option, text, min, max);
    *ret = value;
    return 0;
}
