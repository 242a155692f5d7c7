/* plantca pending, approve and deny: keys that wait, and their fate. */
#include "src/cmd/plantca/plantca.h"

#include <ctype.h>
#include <string.h>

#include "src/base/error.h"
#include "src/cmd/output.h"
#include "src/pki/name.h"

#define NOTE_MAX 255

json_t *plantca_waiting_json(const struct ca_waiting *w)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:s,s:o,s:o,s:I,s:o,s:o}", "plant", w->plant, "key_sha256",
                     w->key_sha256, "key_type", w->key_type, "address", cmd_json_text(w->from), "state",
                     w->state, "first_at", cmd_json_time(w->first_at), "last_at", cmd_json_time(w->last_at),
                     "times", (json_int_t)w->times, "decided_at",
                     w->decided_at != 0 ? cmd_json_time(w->decided_at) : json_null(), "by",
                     w->by[0] != '\0' ? cmd_json_text(w->by) : json_null());
}

int plantca_read_fingerprint(const char *text, char ret[PKI_FINGERPRINT_TEXT])
{
    size_t len = 0;

    for (const char *c = text; *c != '\0'; c++) {
        if (*c == ':')
            continue;
        if (!isxdigit((unsigned char)*c) || len == PKI_FINGERPRINT_TEXT - 1)
            return pc_fail(PC_EUSAGE,
                           "'%.80s' is no fingerprint of a key (SHA-256, as plantcert request "
                           "shows it)",
                           text);
        ret[len++] = (char)tolower((unsigned char)*c);
    }
    ret[len] = '\0';
    if (len < CA_APPROVE_MIN)
        return pc_fail(PC_EUSAGE, "'%.80s': at least %d characters of a fingerprint name a key", text,
                       CA_APPROVE_MIN);
    return 0;
}

struct table {
    struct cmd *cmd;
    size_t rows;
};

static int print_row(void *context, const struct ca_waiting *w)
{
    struct table *table = context;
    char first[PC_TIME_TEXT], last[PC_TIME_TEXT];

    table->rows++;
    if (table->cmd->json) {
        cmd_line(table->cmd, plantca_waiting_json(w));
        return 0;
    }
    pc_time_format(w->first_at, first);
    pc_time_format(w->last_at, last);
    cmd_print(table->cmd, "%s%s  %s, from %s\n  %s\n  asked %lld time%s, first %s, last %s\n",
              table->rows > 1 ? "\n" : "", w->plant, w->key_type, w->from, w->key_sha256, (long long)w->times,
              CMD_S(w->times), first, last);
    return 0;
}

int plantca_run_pending(struct cmd *cmd)
{
    struct table table = {.cmd = cmd};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = plantca_read_settings(cmd, &settings);

    if (rc == 0)
        rc = ca_open_to_read(&settings, &ca);
    if (rc == 0)
        rc = ca_waiting_each(ca, print_row, &table);
    if (rc == 0 && table.rows > 0 && !cmd->json) {
        cmd->summary = stderr;
        cmd_say(cmd, "Next: compare the fingerprint with the one on the PLC, then plantca approve UUID "
                     "FINGERPRINT\n");
    }
    return rc;
}

static int open_for(struct cmd *cmd, char key[PKI_FINGERPRINT_TEXT], struct ca_settings *settings,
                    struct ca **ret)
{
    int rc = pki_uuid_check(cmd->operands[0]);

    if (rc == 0 && cmd->operand_count > 1)
        rc = plantca_read_fingerprint(cmd->operands[1], key);
    if (rc == 0)
        rc = plantca_read_settings(cmd, settings);
    return rc != 0 ? rc : ca_open(settings, ret);
}

int plantca_run_approve(struct cmd *cmd)
{
    char key[PKI_FINGERPRINT_TEXT];
    struct ca_waiting waiting;
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = open_for(cmd, key, &settings, &ca);

    if (rc == 0)
        rc = ca_approve(ca, cmd->operands[0], key, &waiting);
    if (rc != 0)
        return rc;
    cmd_add(cmd, plantca_waiting_json(&waiting));
    cmd_field(cmd, "Plant", "%s", waiting.plant);
    cmd_field(cmd, "Approved key", "%s", waiting.key_sha256);
    cmd_field(cmd, "By", "%s", waiting.by);
    cmd_say(cmd, "The PLC gets its certificate when it asks again.\n");
    return 0;
}

int plantca_run_deny(struct cmd *cmd)
{
    char key[PKI_FINGERPRINT_TEXT];
    const char *note = cmd_value(cmd, "note");
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    size_t count = 0;
    bool one = cmd->operand_count > 1;

    if (note != NULL && (strlen(note) == 0 || strlen(note) > NOTE_MAX))
        return pc_fail(PC_EUSAGE, "--note: 1 to %d bytes", NOTE_MAX);
    int rc = open_for(cmd, key, &settings, &ca);
    if (rc == 0)
        rc = ca_deny(ca, cmd->operands[0], one ? key : NULL, note, &count);
    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:s,s:o,s:I}", "plant", cmd->operands[0], "key_sha256",
            one ? json_string(key) : json_null(), "denied", (json_int_t)count);
    cmd_field(cmd, "Plant", "%s", cmd->operands[0]);
    cmd_field(cmd, "Denied", "%zu key%s%s", count, CMD_S(count), one ? "" : ", and its admission");
    return 0;
}
