/* Where results go: text or one JSON object on stdout, summaries and complaints, and files that appear whole
 * or not at all. */
#include "src/cmd/output.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "src/base/error.h"

#define LABEL_COLUMN 16

/* Names come from certificates and folders of others: what a terminal would obey (C0, DEL, and C1 in UTF-8)
 * is shown as a question mark. Line ends and tabs stay. */
static void disarm(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        bool c1 = *c == '\xc2' && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xa0;
        bool kept = *c == '\n' || *c == '\t' || (*c == '\r' && c[1] == '\n');
        if (c1 || *c == 0x7f || ((unsigned char)*c < ' ' && !kept))
            *c = '?';
        if (c1)
            c[1] = '?';
    }
}

__attribute__((format(printf, 2, 0))) static void print_to(FILE *file, const char *format, va_list arguments)
{
    pc_autofree char *text = NULL;

    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
        return;
    }
    disarm(text);
    fputs(text, file);
}

void cmd_print(const struct cmd *cmd, const char *format, ...)
{
    if (cmd->json)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_to(stdout, format, arguments);
    va_end(arguments);
}

static bool is_silent(const struct cmd *cmd)
{
    return cmd->json || cmd->quiet;
}

void cmd_say(const struct cmd *cmd, const char *format, ...)
{
    if (is_silent(cmd))
        return;
    va_list arguments;
    va_start(arguments, format);
    print_to(cmd->summary, format, arguments);
    va_end(arguments);
}

void cmd_field(const struct cmd *cmd, const char *label, const char *format, ...)
{
    if (is_silent(cmd))
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(cmd->summary, "%-*s  ", LABEL_COLUMN, label);
    print_to(cmd->summary, format, arguments);
    fputc('\n', cmd->summary);
    va_end(arguments);
}

static bool is_journal;

void cmd_find_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;

    is_journal = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                 fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

/* `priority` is one of syslog(3)'s. */
static void print_line(const struct cmd *cmd, int priority, const char *kind, const char *text)
{
    const char *command = cmd->command != NULL ? cmd->command->name : "";
    char prefix[4] = "";

    fflush(stdout); /* in the order in which things happened, when both are one terminal */
    if (is_journal)
        snprintf(prefix, sizeof prefix, "<%d>", priority);
    pc_autofree char *line = NULL;
    int len = asprintf(&line, "%s%s%s%s: %s%s\n", prefix, cmd->program->name, command[0] != '\0' ? " " : "",
                       command, kind, text);
    if (len < 0) {
        line = NULL;
        return;
    }
    disarm(line);
    for (char *c = line; c < line + len - 1; c++)
        if (*c == '\n' || *c == '\t' || *c == '\r')
            *c = ' ';
    fflush(stderr);
    /* In one piece, so that two programs on one terminal do not mix their lines. */
    if (write(STDERR_FILENO, line, (size_t)len) < 0)
        return; /* there is nowhere left to say so */
}

void cmd_complain(const struct cmd *cmd, const char *kind, const char *text)
{
    print_line(cmd, LOG_ERR, kind, text);
}

void cmd_tell(const struct cmd *cmd, enum pc_level level, const char *kind, const char *text)
{
    static const int priorities[] = {
        [PC_LOG_DEBUG] = LOG_DEBUG, [PC_LOG_NOTICE] = LOG_NOTICE, [PC_LOG_WARNING] = LOG_WARNING};

    print_line(cmd, priorities[level], kind, text);
}

void cmd_warn(struct cmd *cmd, const char *format, ...)
{
    pc_autofree char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int len = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (len < 0) {
        text = NULL;
        return;
    }
    cmd_tell(cmd, PC_LOG_WARNING, "warning: ", text);
    if (!cmd->json)
        return;
    cmd_set(cmd, "{}");
    json_t *warnings = json_object_get(cmd->result, "warnings");
    if (warnings == NULL) {
        warnings = json_array();
        json_object_set_new(cmd->result, "warnings", warnings);
    }
    json_array_append_new(warnings, cmd_json_text(text));
}

static json_t *new_object(void)
{
    json_t *object = json_object();

    json_object_set_new(object, "schema", json_integer(1));
    return object;
}

void cmd_set(struct cmd *cmd, const char *format, ...)
{
    va_list arguments;
    json_error_t error;

    va_start(arguments, format);
    json_t *members =
        json_vpack_ex(&error, 0, format, arguments); /* takes what "o" stands for over in any case */
    va_end(arguments);
    if (members == NULL)
        abort(); /* a format that does not fit its arguments */
    cmd_add(cmd, members);
}

void cmd_add(struct cmd *cmd, json_t *members)
{
    if (cmd->json) {
        if (cmd->result == NULL)
            cmd->result = new_object();
        json_object_update(cmd->result, members);
    }
    json_decref(members);
}

static void print_object(json_t *object)
{
    pc_autofree char *text = json_dumps(object, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));

    if (text != NULL)
        puts(text);
}

void cmd_line(struct cmd *cmd, json_t *object)
{
    if (cmd->json) {
        json_t *line = new_object();
        json_object_update(line, object);
        print_object(line);
        json_decref(line);
    }
    json_decref(object);
}

/* The length of the valid UTF-8 sequence at `text` (Unicode 15 table 3-7), 0 when there is none. */
static size_t utf8_length(const unsigned char *text)
{
    static const struct {
        unsigned char first, last, low, high; /* lead byte, and the second byte's range */
        size_t len;
    } rows[] = {
        {0x01, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < CMD_LENGTH(rows); i++) {
        if (text[0] < rows[i].first || text[0] > rows[i].last)
            continue;
        if (rows[i].len > 1 && (text[1] < rows[i].low || text[1] > rows[i].high))
            return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if ((text[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].len;
    }
    return 0;
}

json_t *cmd_json_text(const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

    if (text == NULL)
        return json_null();
    pc_autofree char *valid = malloc(strlen(text) * 3 + 1);
    if (valid == NULL)
        return json_null();
    char *end = valid;
    for (const char *c = text; *c != '\0';) {
        size_t len = utf8_length((const unsigned char *)c);
        end = mempcpy(end, len > 0 ? c : replacement, len > 0 ? len : 3);
        c += len > 0 ? len : 1;
    }
    *end = '\0';
    return json_string(valid);
}

json_t *cmd_json_time(int64_t seconds)
{
    char text[PC_TIME_TEXT];

    pc_time_format(seconds, text);
    return json_string(text);
}

void cmd_print_json(struct cmd *cmd, int code)
{
    if (!cmd->json)
        return;
    if (code != 0)
        cmd_set(cmd, "{s:{s:i,s:s,s:o}}", "error", "code", -code, "name", pc_error_name(), "message",
                cmd_json_text(pc_error_text()));
    if (cmd->result != NULL)
        print_object(cmd->result);
}

/* As when `| head` has seen enough. */
static bool reader_is_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};

    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

int cmd_close_output(void)
{
    bool lost = ferror(stdout) != 0, gone = reader_is_gone();

    errno = 0;
    bool closed = fclose(stdout) == 0;
    if (gone && (lost || !closed))
        return pc_fail(PC_EFAIL, "%s", "");
    if (lost || !closed)
        return errno != 0 ? pc_fail_errno(PC_EFAIL, "standard output")
                          : pc_fail(PC_EFAIL, "standard output: what was written is lost");
    return 0;
}

void cmd_colons(const char hex[PKI_FINGERPRINT_TEXT], char ret[CMD_COLONS_TEXT])
{
    size_t at = 0;

    for (size_t i = 0; hex[i] != '\0' && i + 1 < PKI_FINGERPRINT_TEXT; i++) {
        if (i > 0 && i % 2 == 0)
            ret[at++] = ':';
        ret[at++] = (char)(hex[i] >= 'a' && hex[i] <= 'f' ? hex[i] - 'a' + 'A' : hex[i]);
    }
    ret[at] = '\0';
}

unsigned cmd_terminal_width(void)
{
    struct winsize size;

    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

bool cmd_is_stdout(const char *path)
{
    return path == NULL || strcmp(path, "-") == 0;
}

/* May a file be made in the folder of `path`? */
static int check_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    pc_autofree char *folder = slash == NULL ? strdup(".") : strndup(path, len > 0 ? len : 1);

    if (folder == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    if (slash != NULL && slash[1] == '\0')
        return pc_refuse("file-kind", "%s: names a folder", path);
    if (access(folder, W_OK | X_OK) != 0)
        return pc_fail_errno(PC_EFAIL, "%s: folder %s", path, folder);
    return 0;
}

int cmd_check_output(const char *path)
{
    struct stat status;

    if (cmd_is_stdout(path))
        return 0;
    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return pc_refuse("file-kind", "%s: not a regular file", path);
    return check_folder(path);
}

int cmd_write(const struct cmd *cmd, const char *path, const struct pc_bytes *data,
              const struct pc_file_options *options)
{
    if (!cmd_is_stdout(path))
        return pc_file_write(path, data->data, data->len, options);
    if (!cmd->json)
        fwrite(data->data, 1, data->len, stdout);
    return 0;
}
