/* main() of both programs: a safe process, the command line, the settings, the command, and what is said at
 * the end. */
#include "src/cmd/command.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "src/base/error.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/cmd/output.h"

static struct cmd *running; /* the log's listener has no context of its own */

static void hear(enum pc_level level, const char *text)
{
    if (level == PC_LOG_WARNING)
        cmd_warn(running, "%s", text);
    else if (level == PC_LOG_NOTICE ? !running->quiet : running->verbose)
        cmd_tell(running, level, "", text);
}

static void ignore_signal(int number)
{
    (void)number;
}

/* A standard stream that was closed must not become the first file that is opened. What takes its place fails
 * as the closed one would: it cannot be read as input or written as output. */
static int fill_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0 &&
            open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream)
            return pc_fail_errno(PC_EFAIL, "/dev/null");
    return 0;
}

/* A reader that goes away is an error and no death, for sockets too (by a function, not SIG_IGN, which
 * programs that we start would inherit). */
static int prepare_process(void)
{
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};

    if (fill_streams() != 0)
        return PC_EFAIL;
    cmd_find_journal();
    umask(022);
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGPIPE, &action, NULL) != 0)
        return pc_fail_errno(PC_EFAIL, "SIGPIPE");
    return pc_process_harden();
}

static void print_version(struct cmd *cmd)
{
    cmd_print(cmd, "%s %s\n", cmd->program->name, PLANTCERT_VERSION);
    cmd_set(cmd, "{s:s,s:s}", "program", cmd->program->name, "version", PLANTCERT_VERSION);
}

static int run(struct cmd *cmd)
{
    if (cmd->help) {
        if (cmd->command != NULL)
            cmd_help_command(cmd->program, cmd->command);
        else
            cmd_help_program(cmd->program);
        return 0;
    }
    if (cmd->version) {
        print_version(cmd);
        return 0;
    }
    int rc = cmd->command->without_settings ? 0 : cmd_load_settings(cmd);
    return rc != 0 ? rc : cmd->command->run(cmd);
}

int cmd_main(const struct cmd_program *program, int argc, char **argv)
{
    struct cmd cmd = {.program = program, .summary = stdout};

    running = &cmd;
    int rc = prepare_process();
    if (rc == 0)
        rc = cmd_parse(&cmd, argc, argv);
    pc_log_to(hear);
    if (rc == 0)
        rc = run(&cmd);
    if (rc != 0)
        cmd_complain(&cmd, "", pc_error_text());
    cmd_print_json(&cmd, rc);
    pc_log_to(NULL);

    int closed = cmd_close_output();
    if (closed != 0 && rc == 0) {
        rc = closed;
        if (*pc_error_text() != '\0')
            cmd_complain(&cmd, "", pc_error_text());
    }
    json_decref(cmd.result);
    pc_config_free(cmd.config);
    if (pc_process_abandoned())
        _exit(-rc); /* exit() would ask the module that hangs to clean up */
    return -rc;
}
