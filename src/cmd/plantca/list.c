/* plantca list and show: what is on record, as a table that fits the terminal, or one certificate in full. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/ca/list.h"
#include "src/cmd/output.h"
#include "src/pki/certificate.h"
#include "src/pki/name.h"

#define DAYS_MAX 36500
#define NAME_WIDTH 36   /* a UUID */
#define STATE_WIDTH 10  /* "superseded" */
#define DATE_WIDTH 10   /* "2026-11-22" */
#define SERIAL_WIDTH 40 /* PKI_SERIAL_MAX octets */
#define SERIAL_SHORT 17

struct table {
    struct cmd *cmd;
    size_t rows;
    bool narrow; /* a terminal without room for whole serial numbers */
};

/* `text` as it is, or, in a narrow table, cut to `width` characters. */
static const char *fit(const struct table *table, const char *text, size_t width, char ret[NAME_WIDTH + 1])
{
    if (!table->narrow || strlen(text) <= width)
        return text;
    snprintf(ret, NAME_WIDTH + 1, "%.*s...", (int)width - 3, text);
    return ret;
}

static int print_row(void *context, const struct ca_record *record)
{
    struct table *table = context;
    char expires[PC_TIME_TEXT], name[NAME_WIDTH + 1], serial[NAME_WIDTH + 1];

    if (table->rows++ == 0)
        cmd_print(table->cmd, "%-*s  %-*s  %-*s  %s\n", NAME_WIDTH, "NAME", STATE_WIDTH, "STATE", DATE_WIDTH,
                  "EXPIRES", "SERIAL");
    pc_time_format(record->not_after, expires);
    cmd_print(table->cmd, "%-*s  %-*s  %.*s  %s\n", NAME_WIDTH, fit(table, record->cn, NAME_WIDTH, name),
              STATE_WIDTH, record->expired ? "expired" : record->state, DATE_WIDTH, expires,
              fit(table, record->serial, SERIAL_SHORT, serial));
    cmd_line(table->cmd, plantca_record_json(record));
    return 0;
}

/* Into a file or a pipe, and where there is room, everything is written whole. */
static bool is_narrow(void)
{
    unsigned width = cmd_terminal_width();

    return width > 0 && width < NAME_WIDTH + STATE_WIDTH + DATE_WIDTH + SERIAL_WIDTH + 6;
}

static enum ca_filter find_filter(const struct cmd *cmd)
{
    static const struct {
        const char *option;
        enum ca_filter filter;
    } rows[] = {
        {"current", CA_CURRENT}, {"valid", CA_VALID}, {"expiring", CA_EXPIRING}, {"revoked", CA_REVOKED}};

    for (size_t i = 0; i < CMD_LENGTH(rows); i++)
        if (cmd_given(cmd, rows[i].option))
            return rows[i].filter;
    return CA_ALL;
}

int plantca_run_list(struct cmd *cmd)
{
    static const char *const filters[] = {"current", "valid", "expiring", "revoked", NULL};
    struct table table = {.cmd = cmd, .narrow = is_narrow()};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    long days = 0;
    int rc = cmd_choose(cmd, true, filters);

    if (rc == 0 && cmd_given(cmd, "expiring"))
        rc = cmd_number(cmd, "expiring", 0, DAYS_MAX, &days);
    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    return rc == 0 ? ca_list(ca, find_filter(cmd), days * PC_DAY, print_row, &table) : rc;
}

static int show_row(void *context, const struct ca_record *record)
{
    struct table *table = context;

    if (table->rows++ > 0)
        cmd_say(table->cmd, "\n");
    plantca_record_say(table->cmd, record);
    cmd_line(table->cmd, plantca_record_json(record));
    return 0;
}

/* --pem: the certificate itself. */
static int print_pem(struct cmd *cmd, struct ca *ca, const char *serial)
{
    pc_autobytes pem = {0};
    int rc = ca_certificate_pem(ca, serial, &pem);

    if (rc != 0)
        return rc;
    cmd_set(cmd, "{s:s,s:o}", "serial", serial, "certificate_pem", cmd_json_text((const char *)pem.data));
    return cmd_write(cmd, NULL, &pem, NULL);
}

/* The operand in the form that the record has: a UUID as it is, a serial number without colons and leading
 * zeros. */
static int read_operand(const struct cmd *cmd, char serial[PKI_SERIAL_TEXT], const char **ret)
{
    const char *what = cmd->operands[0];
    struct pki_serial parsed;

    if (pki_uuid_is_canonical(what)) {
        if (cmd_given(cmd, "pem"))
            return pc_fail(PC_EUSAGE, "--pem needs a serial number: a plant may have many certificates");
        *ret = what;
        return 0;
    }
    if (pki_serial_parse(what, &parsed) != 0)
        return pc_fail(PC_EUSAGE, "'%.60s' is neither a UUID in its canonical form nor a serial number",
                       what);
    pki_serial_format(&parsed, serial);
    *ret = serial;
    return 0;
}

int plantca_run_show(struct cmd *cmd)
{
    struct table table = {.cmd = cmd};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    char serial[PKI_SERIAL_TEXT];
    const char *what = NULL;
    int rc = read_operand(cmd, serial, &what);

    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc != 0)
        return rc;
    return cmd_given(cmd, "pem") ? print_pem(cmd, ca, what) : ca_show(ca, what, show_row, &table);
}
