/* Help, made of the tables: what `--help` and `help` print. The long form is in the manual pages. */
#include "src/cmd/command.h"

#include <string.h>

#include "src/base/error.h"

#define NAME_COLUMN 24 /* where the explanations of options begin, after the indent */

static void print_option(const struct cmd_option *option)
{
    char name[64];

    snprintf(name, sizeof name, "--%s%s%s", option->name, option->argument != NULL ? " " : "",
             option->argument != NULL ? option->argument : "");
    if (option->letter != 0)
        printf("  -%c, ", option->letter);
    else
        printf("      ");
    printf("%-*s  %s\n", NAME_COLUMN, name, option->help);
}

static void print_common_options(const char *title)
{
    printf("\n%s\n", title);
    for (size_t i = 0; i < cmd_common_option_count; i++)
        print_option(&cmd_common_options[i]);
}

void cmd_help_program(const struct cmd_program *program)
{
    printf("Usage: %s [OPTION]... COMMAND [OPTION]... [OPERAND]...\n%s.\n\nCommands:\n", program->name,
           program->summary);
    for (size_t i = 0; i < program->command_count; i++)
        printf("  %-10s  %s\n", program->commands[i].name, program->commands[i].summary);
    print_common_options("Options of every command:");
    printf("\n'%s COMMAND --help' tells more of a command; so does its manual page, %s-COMMAND(1).\n"
           "Settings: %s.conf(5), by default %s.\n",
           program->name, program->name, program->name, program->config_path);
}

void cmd_help_command(const struct cmd_program *program, const struct cmd_command *command)
{
    printf("Usage: %s %s [OPTION]...%s%s\n%s.\n", program->name, command->name,
           command->operands != NULL ? " " : "", command->operands != NULL ? command->operands : "",
           command->summary);
    if (command->option_count > 0)
        printf("\nOptions:\n");
    for (size_t i = 0; i < command->option_count; i++)
        print_option(&command->options[i]);
    print_common_options("Options of every command:");
}

int cmd_run_help(struct cmd *cmd)
{
    if (cmd->operand_count == 0) {
        cmd_help_program(cmd->program);
        return 0;
    }
    for (size_t i = 0; i < cmd->program->command_count; i++) {
        if (strcmp(cmd->program->commands[i].name, cmd->operands[0]) == 0) {
            cmd_help_command(cmd->program, &cmd->program->commands[i]);
            return 0;
        }
    }
    return pc_fail(PC_EUSAGE, "unknown command '%s'; see '%s --help'", cmd->operands[0], cmd->program->name);
}
