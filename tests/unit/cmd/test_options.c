/* cmd/options: command lines, good and bad, by a table of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/cmd/command.h"

static int run_nothing(struct cmd *cmd)
{
    (void)cmd;
    return 0;
}

static const struct cmd_option options[] = {
    {"out", 'o', "FILE", "output", NULL, NULL},
    {"plant", 0, "UUID", "plant", NULL, NULL},
    {"renew", 0, NULL, "renew", NULL, NULL},
    {"replace", 0, "SERIAL", "replace", NULL, NULL},
    {"dry-run", 'n', NULL, "sign nothing", NULL, NULL},
};
static const struct cmd_command commands[] = {
    {.name = "sign",
     .run = run_nothing,
     .operands = "CSR",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Sign",
     .options = options,
     .option_count = CMD_LENGTH(options)},
    {.name = "status", .run = run_nothing, .summary = "Status"},
};
static const struct cmd_program program = {
    .name = "prog", .summary = "P", .commands = commands, .command_count = CMD_LENGTH(commands)};

#define WORDS 16
static char *words[WORDS + 1];
static char text[512];
static struct cmd cmd;

/* Splits at blanks ("_" stands for an empty word) and parses. */
static int parse(const char *line)
{
    int count = 0;

    pc_error_clear();
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word != NULL && count < WORDS; word = strtok(NULL, " "))
        words[count++] = strcmp(word, "_") == 0 ? word + 1 : word;
    words[count] = NULL;
    cmd = (struct cmd){.program = &program};
    return cmd_parse(&cmd, count, words);
}

static void order_is_free(void **state)
{
    static const char *const lines[] = {
        "prog --json sign --plant=u -o f -n a.csr",
        "prog sign a.csr --json --plant u --out f --dry-run",
        "prog sign --plant u a.csr -nof --json",
        "prog --json sign -n -o f --plant u -- a.csr",
    };

    (void)state;
    for (size_t i = 0; i < CMD_LENGTH(lines); i++) {
        assert_int_equal(parse(lines[i]), 0);
        assert_true(cmd.json);
        assert_false(cmd.quiet);
        assert_string_equal(cmd_value(&cmd, "plant"), "u");
        assert_string_equal(cmd_value(&cmd, "out"), "f");
        assert_true(cmd_given(&cmd, "dry-run"));
        assert_false(cmd_given(&cmd, "renew"));
        assert_int_equal(cmd.operand_count, 1);
        assert_string_equal(cmd.operands[0], "a.csr");
    }
}

static void dashes_end_options(void **state)
{
    (void)state;
    assert_int_equal(parse("prog sign -- --plant"), 0);
    assert_string_equal(cmd.operands[0], "--plant");
    assert_null(cmd_value(&cmd, "plant"));
    assert_int_equal(parse("prog sign - --plant u"), 0);
    assert_string_equal(cmd.operands[0], "-");
}

static void common_options_anywhere(void **state)
{
    (void)state;
    assert_int_equal(parse("prog -q -c x status --verbose --no-input"), 0);
    assert_true(cmd.quiet && cmd.verbose && cmd.no_input);
    assert_string_equal(cmd_value(&cmd, "config"), "x");
    assert_int_equal(parse("prog --help"), 0);
    assert_true(cmd.help && cmd.command == NULL);
    assert_int_equal(parse("prog sign -h"), 0);
    assert_true(cmd.help && cmd.command == &commands[0]);
    assert_int_equal(parse("prog --version"), 0);
    assert_true(cmd.version);
}

static void usage_errors_are_one_line(void **state)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"prog", "no command"},
        {"prog frobnicate", "'frobnicate'"},
        {"prog --plant u sign a", "'--plant'"},
        {"prog -x sign a", "'-x'"},
        {"prog sign", "CSR"},
        {"prog sign a b", "'b'"},
        {"prog status a", "'a'"},
        {"prog status --plant u", "'--plant'"},
        {"prog sign a --plant", "'--plant'"},
        {"prog sign a -o", "'-o'"},
        {"prog sign a --renew=yes", "'--renew=yes'"},
        {"prog sign a --re", "'--re'"},
        {"prog sign a -nx", "'-x'"},
        {"prog sign a --plant u --plant v", "--plant is given twice"},
        {"prog -c x status -c x", "--config is given twice"},
        {"prog sign a --plant _", "--plant: the value is empty"},
    };

    (void)state;
    for (size_t i = 0; i < CMD_LENGTH(rows); i++) {
        assert_int_equal(parse(rows[i].line), PC_EUSAGE);
        if (strstr(pc_error_text(), rows[i].says) == NULL)
            fail_msg("%s: '%s' does not say %s", rows[i].line, pc_error_text(), rows[i].says);
        assert_null(strchr(pc_error_text(), '\n'));
    }
}

static void an_unread_line_may_ask_for_json(void **state)
{
    (void)state;
    assert_int_equal(parse("prog sign --bad --json"), PC_EUSAGE);
    assert_true(cmd.json);
    assert_int_equal(parse("prog sign --bad -- --json"), PC_EUSAGE);
    assert_false(cmd.json);
}

static void no_words_at_all(void **state)
{
    (void)state;
    assert_int_equal(parse(""), PC_EUSAGE);
}

static void choices(void **state)
{
    static const char *const either[] = {"plant", "replace", NULL};

    (void)state;
    assert_int_equal(parse("prog sign a --plant u"), 0);
    assert_int_equal(cmd_choose(&cmd, false, either), 0);
    assert_int_equal(parse("prog sign a"), 0);
    assert_int_equal(cmd_choose(&cmd, true, either), 0);
    assert_int_equal(cmd_choose(&cmd, false, either), PC_EUSAGE);
    assert_string_equal(pc_error_text(), "one of --plant, --replace must be given");
    assert_int_equal(parse("prog sign a --plant u --replace 1"), 0);
    assert_int_equal(cmd_choose(&cmd, true, either), PC_EUSAGE);
}

static void numbers(void **state)
{
    static const char *const bad[] = {"prog sign a --plant -1",  "prog sign a --plant 1x",
                                      "prog sign a --plant +1",  "prog sign a --plant 101",
                                      "prog sign a --plant 0x1", "prog sign a --plant 99999999999999999999"};
    long value = 7;

    (void)state;
    assert_int_equal(parse("prog sign a --plant 100"), 0);
    assert_int_equal(cmd_number(&cmd, "plant", 0, 100, &value), 0);
    assert_int_equal(value, 100);
    for (size_t i = 0; i < CMD_LENGTH(bad); i++) {
        assert_int_equal(parse(bad[i]), 0);
        assert_int_equal(cmd_number(&cmd, "plant", 0, 100, &value), PC_EUSAGE);
        assert_int_equal(value, 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_free),
        cmocka_unit_test(dashes_end_options),
        cmocka_unit_test(common_options_anywhere),
        cmocka_unit_test(usage_errors_are_one_line),
        cmocka_unit_test(an_unread_line_may_ask_for_json),
        cmocka_unit_test(no_words_at_all),
        cmocka_unit_test(choices),
        cmocka_unit_test(numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
