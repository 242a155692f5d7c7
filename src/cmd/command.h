/* What a command is, and what it may ask of the program around it: options, operands, settings, results. The
 * two programs are tables of struct cmd_command; everything that prints or exits lives in this folder. */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "src/base/config.h"
#include "src/base/memory.h"

#define CMD_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define CMD_OPTIONS_MAX 24 /* of one command, the common ones included */

/* One option. All strings are literals. */
struct cmd_option {
    const char *name;          /* long, without dashes */
    char letter;               /* short, or 0 */
    const char *argument;      /* "FILE", or NULL when it takes none */
    const char *help;          /* one line */
    const char *section, *key; /* the setting that its value overrides, or NULL; CMD_MANY, NULL */
};

/* In the place of a section: the option may be given several times. */
#define CMD_MANY "\n"
#define CMD_MANY_MAX 64 /* values of all such options */

struct cmd;

struct cmd_command {
    const char *name;
    int (*run)(struct cmd *cmd); /* 0, or PC_E… with its text recorded */
    const char *operands;        /* as the usage line shows them, or NULL */
    const char *summary;         /* one line */
    size_t operands_min, operands_max;
    const struct cmd_option *options;
    size_t option_count;
    bool without_settings; /* runs even where the configuration is unsound */
};

struct cmd_program {
    const char *name, *summary;
    const char *config_env,
        *config_path; /* the variable that names the configuration, and where it is otherwise */
    const struct pc_setting *settings;
    size_t setting_count;
    const struct cmd_command *commands;
    size_t command_count;
};

/* One run of a program. */
struct cmd {
    const struct cmd_program *program;
    const struct cmd_command *command;   /* NULL before it is known */
    const char *values[CMD_OPTIONS_MAX]; /* by place in cmd_common_options, then in the command's; "" for a
                                            given flag */
    struct {
        const char *option, *value;
    } many[CMD_MANY_MAX]; /* of options that were given several times, in their order */
    size_t many_count;
    char **operands; /* borrowed */
    size_t operand_count;
    bool json, quiet, verbose, no_input, help, version;
    struct pc_config *config;
    FILE *summary;  /* where cmd_say speaks; stdout, or stderr when a result takes stdout */
    json_t *result; /* what --json prints at the end; NULL when lines were printed as they came */
};

/* --config, --json, …: taken by every command, before its name too. */
extern const struct cmd_option cmd_common_options[];
extern const size_t cmd_common_option_count;

/* options.c: reads the command line into `cmd`, which holds the program and is otherwise empty. PC_EUSAGE,
 * one line. `argv` is reordered. Nothing is printed. */
int cmd_parse(struct cmd *cmd, int argc, char **argv);
/* The value of an option of this command, borrowed; NULL when it was not given, "" for a flag that was. */
const char *cmd_value(const struct cmd *cmd, const char *option);
bool cmd_given(const struct cmd *cmd, const char *option);
/* PC_EUSAGE unless exactly one (or, when `none` is set, at most one) of these options was given. NULL ends
 * the list. */
int cmd_choose(const struct cmd *cmd, bool none, const char *const *options);
/* A decimal option value from `min` to `max`; PC_EUSAGE. */
int cmd_number(const struct cmd *cmd, const char *option, long min, long max, long *ret);

/* help.c: text made of the tables, on stdout. */
void cmd_help_program(const struct cmd_program *program);
void cmd_help_command(const struct cmd_program *program, const struct cmd_command *command);
int cmd_run_help(struct cmd *cmd); /* the command `help [COMMAND]` */

/* settings.c: the configuration file that is read; NULL when there is none and none was asked for. */
const char *cmd_settings_file(const struct cmd *cmd);
/* Reads the configuration that is in effect, then the options that override it. A missing default
 * file is fine; a missing one that was named is PC_EUSAGE. */
int cmd_load_settings(struct cmd *cmd);
/* The command `config`: every setting in effect and where it came from. */
int cmd_run_config(struct cmd *cmd);

/* program.c: all of main(). */
int cmd_main(const struct cmd_program *program, int argc, char **argv);

#endif
