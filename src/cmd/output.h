/* What a command gives back: results on stdout as text or JSON, summaries for people, warnings, files. */
#ifndef CMD_OUTPUT_H
#define CMD_OUTPUT_H

#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/time.h"
#include "src/cmd/command.h"
#include "src/pki/key.h"

/* A result: to stdout, unless --json speaks there. */
void cmd_print(const struct cmd *cmd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A summary for people: to cmd->summary; nothing with --json or --quiet. */
void cmd_say(const struct cmd *cmd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One line of such a summary: a label and a value, values below each other. */
void cmd_field(const struct cmd *cmd, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "plantca sign: warning: …" on stderr, and in the JSON object's "warnings". */
void cmd_warn(struct cmd *cmd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line on stderr that begins with program and command; control characters are shown as '?'. */
void cmd_complain(const struct cmd *cmd, const char *kind, const char *text);
/* The same for what is no error. */
void cmd_tell(const struct cmd *cmd, enum pc_level level, const char *kind, const char *text);
/* Once, before the first of them: where stderr is the journal (JOURNAL_STREAM in systemd.exec(5)), each line
 * begins with its priority, "<4>" (sd-daemon(3)). */
void cmd_find_journal(void);

/* Adds members to the JSON object of this run (json_pack's language: "{s:s,…}"). Members are only kept with
 * --json. */
void cmd_set(struct cmd *cmd, const char *format, ...);
void cmd_add(struct cmd *cmd, json_t *members); /* the same with an object, which it takes over */
/* Prints one object of a list at once, as a line of its own; takes `object` over. */
void cmd_line(struct cmd *cmd, json_t *object);
/* Values for cmd_set's "o": any bytes as valid UTF-8 (what is none becomes U+FFFD), NULL as null; a time as
 * RFC 3339. */
json_t *cmd_json_text(const char *text);
json_t *cmd_json_time(int64_t seconds);
/* Writes the JSON object (or nothing, when lines were printed), with the error that `code` says was recorded.
 */
void cmd_print_json(struct cmd *cmd, int code);
/* Flushes and closes stdout; PC_EFAIL when anything printed there was lost, without a text where that was for
 * want of a reader. */
int cmd_close_output(void);

/* What makes a word plural. */
#define CMD_S(count) ((count) == 1 ? "" : "s")

#define CMD_COLONS_TEXT (3 * 32)
/* "ab12…" as OpenSSL prints fingerprints: "AB:12:…". */
void cmd_colons(const char hex[PKI_FINGERPRINT_TEXT], char ret[CMD_COLONS_TEXT]);
/* Columns of the terminal that stdout is; 0 when it is none. */
unsigned cmd_terminal_width(void);

/* Refuses (PC_EREFUSED "file-kind") an output path that cmd_write could not serve, before anything is done: a
 * link, FIFO, device, folder, or (PC_EFAIL) a file in a folder that cannot be written. NULL and "-" are
 * stdout. */
int cmd_check_output(const char *path);
/* Writes a result: to stdout (NULL, "-"; not with --json), or durably to a file. */
int cmd_write(const struct cmd *cmd, const char *path, const struct pc_bytes *data,
              const struct pc_file_options *options);
/* Whether `path` stands for stdout. */
bool cmd_is_stdout(const char *path);

#endif
