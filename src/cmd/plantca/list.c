/* plantca list and show: what is on record, as a table that fits the terminal, or one certificate in full. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/ca/admission.h"
#include "src/ca/list.h"
#include "src/cmd/output.h"
#include "src/pki/certificate.h"
#include "src/pki/crl.h"
#include "src/pki/name.h"
#include "src/pki/profile.h"

#define DAYS_MAX 36500
#define NAME_WIDTH 36   /* a UUID */
#define PROFILE_WIDTH 7 /* "station" */
#define STATE_WIDTH 10  /* "superseded" */
#define DATE_WIDTH 10   /* "2026-11-22" */
#define SERIAL_WIDTH 40 /* PKI_SERIAL_MAX octets */
#define SERIAL_SHORT 8  /* all in 79 columns */

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
        cmd_print(table->cmd, "%-*s  %-*s  %-*s  %-*s  %s\n", NAME_WIDTH, "NAME", PROFILE_WIDTH, "PROFILE",
                  STATE_WIDTH, "STATE", DATE_WIDTH, "EXPIRES", "SERIAL");
    /* What is superseded ends with its overlap. */
    bool early = record->revoke_after != 0 && record->revoke_after < record->not_after;
    pc_time_format(early ? record->revoke_after : record->not_after, expires);
    cmd_print(table->cmd, "%-*s  %-*s  %-*s  %.*s  %s\n", NAME_WIDTH,
              fit(table, record->cn, NAME_WIDTH, name), PROFILE_WIDTH, record->profile, STATE_WIDTH,
              record->expired ? "expired" : record->state, DATE_WIDTH, expires,
              fit(table, record->serial, SERIAL_SHORT, serial));
    return 0;
}

static int print_json(void *context, const struct ca_record *record)
{
    struct table *table = context;

    cmd_line(table->cmd, plantca_record_json(record));
    return 0;
}

/* RFC 4180: quoted where it must be. What a spreadsheet would take for a formula gets an apostrophe: names in
 * certificates of another CA are not ours to trust. */
static void print_csv_field(const struct table *table, const char *text, const char *end)
{
    bool formula = *text != '\0' && strchr("=+-@\t\r", *text) != NULL;
    bool quoted = formula || strpbrk(text, ",\"\r\n") != NULL;

    cmd_print(table->cmd, "%s%s", quoted ? "\"" : "", formula ? "'" : "");
    for (const char *c = text; *c != '\0'; c++)
        cmd_print(table->cmd, *c == '"' ? "\"\"" : "%c", *c);
    cmd_print(table->cmd, "%s%s", quoted ? "\"" : "", end);
}

static const char *csv_time(int64_t seconds, char ret[PC_TIME_TEXT])
{
    ret[0] = '\0';
    if (seconds != 0)
        pc_time_format(seconds, ret);
    return ret;
}

static void print_csv_header(const struct table *table)
{
    cmd_print(table->cmd, "serial,cn,profile,state,origin,expired,not_before,not_after,issued_at,"
                          "revoked_at,revoke_after,invalid_since,reason,key_sha256,certificate_sha256\r\n");
}

static int print_csv(void *context, const struct ca_record *record)
{
    const struct table *table = context;
    const int64_t times[] = {record->not_before, record->not_after,    record->issued_at,
                             record->revoked_at, record->revoke_after, record->invalid_since};
    char text[PC_TIME_TEXT];

    print_csv_field(table, record->serial, ",");
    print_csv_field(table, record->cn, ",");
    cmd_print(table->cmd, "%s,%s,%s,%s,", record->profile, record->state, record->origin,
              record->expired ? "true" : "false");
    for (size_t i = 0; i < CMD_LENGTH(times); i++)
        cmd_print(table->cmd, "%s,", csv_time(times[i], text));
    cmd_print(table->cmd, "%s,%s,%s\r\n", record->reason >= 0 ? pki_reason_name(record->reason) : "",
              record->key_sha256, record->certificate_sha256);
    return 0;
}

/* Into a file or a pipe, and where there is room, everything is written whole. */
static bool is_narrow(void)
{
    unsigned width = cmd_terminal_width();

    return width > 0 && width < NAME_WIDTH + PROFILE_WIDTH + STATE_WIDTH + DATE_WIDTH + SERIAL_WIDTH + 8;
}

static const struct {
    const char *option;
    enum ca_filter filter;
} filters[] = {
    {"current", CA_CURRENT},       {"valid", CA_VALID}, {"expiring", CA_EXPIRING},
    {"superseded", CA_SUPERSEDED}, {"held", CA_HELD},   {"revoked", CA_REVOKED},
    {"foreign", CA_FOREIGN},
};

static int read_list_options(const struct cmd *cmd, struct ca_list_options *ret)
{
    static const char *const names[] = {"current", "valid",   "expiring", "superseded",
                                        "held",    "revoked", "foreign",  NULL};
    long days = 0, limit = 0;
    struct pki_serial serial;
    int rc = cmd_choose(cmd, true, names);

    if (rc == 0 && cmd_given(cmd, "expiring"))
        rc = cmd_number(cmd, "expiring", 0, DAYS_MAX, &days);
    if (rc == 0 && cmd_given(cmd, "limit"))
        rc = cmd_number(cmd, "limit", 1, INT32_MAX, &limit);
    if (rc == 0 && cmd->json && cmd_given(cmd, "csv"))
        rc = pc_fail(PC_EUSAGE, "--csv and --json: one or the other");
    *ret = (struct ca_list_options){.within = days * PC_DAY,
                                    .limit = limit,
                                    .after = cmd_value(cmd, "after"),
                                    .profile = cmd_value(cmd, "profile"),
                                    .all = cmd_given(cmd, "all")};
    if (rc == 0 && ret->after != NULL && pki_serial_parse(ret->after, &serial) != 0)
        rc = pc_fail(PC_EUSAGE, "--after: '%.60s' is no serial number", ret->after);
    for (size_t i = 0; i < CMD_LENGTH(filters); i++)
        if (cmd_given(cmd, filters[i].option))
            ret->filter = filters[i].filter;
    /* A name that is none would list nothing, as if there were nothing. */
    if (rc == 0 && ret->profile != NULL && pki_profile_named(ret->profile) == NULL)
        rc = pc_fail(PC_EUSAGE,
                     "--profile: '%.40s' is none of device, broker, station, root, issuing, audit, probe",
                     ret->profile);
    return rc;
}

int plantca_run_list(struct cmd *cmd)
{
    struct table table = {.cmd = cmd, .narrow = is_narrow()};
    struct ca_settings settings;
    struct ca_list_options options;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = read_list_options(cmd, &options);

    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open_to_read(&settings, &ca);
    if (rc != 0)
        return rc;
    if (cmd_given(cmd, "csv"))
        print_csv_header(&table);
    return ca_list(ca, &options,
                   cmd->json               ? print_json
                   : cmd_given(cmd, "csv") ? print_csv
                                           : print_row,
                   &table);
}

static json_t *serial_or_null(const char *serial)
{
    return serial[0] != '\0' ? json_string(serial) : json_null();
}

static int show_row(void *context, const struct ca_detail *detail)
{
    struct table *table = context;
    json_t *object = plantca_record_json(&detail->record);

    if (table->rows++ > 0)
        cmd_say(table->cmd, "\n");
    plantca_record_say(table->cmd, &detail->record);
    if (detail->issuer[0] != '\0')
        cmd_field(table->cmd, "Issuer", "%s (imported)", detail->issuer);
    if (detail->predecessor[0] != '\0')
        cmd_field(table->cmd, "Successor of", "%s", detail->predecessor);
    if (detail->successor[0] != '\0')
        cmd_field(table->cmd, "Succeeded by", "%s", detail->successor);
    json_object_set_new(object, "predecessor", serial_or_null(detail->predecessor));
    json_object_set_new(object, "successor", serial_or_null(detail->successor));
    json_object_set_new(object, "foreign_issuer",
                        detail->issuer[0] != '\0' ? cmd_json_text(detail->issuer) : json_null());
    cmd_line(table->cmd, object);
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

static int see_plant(void *context, const struct ca_plant *plant)
{
    *(struct ca_plant *)context = *plant;
    return 0;
}

/* Of a plant without a certificate: whether it may come and get one. */
static int refuse_unknown(struct ca *ca, const char *uuid)
{
    struct ca_plant plant = {0};
    char until[PC_TIME_TEXT];
    int rc = ca_plants_each(ca, uuid, see_plant, &plant);

    if (rc != 0)
        return rc;
    if (strcmp(plant.admission, "open") != 0)
        return pc_refuse("record-unknown", "%s: no certificate on record, and %s%s", uuid,
                         plant.admission[0] != '\0' ? "its admission is " : "not admitted", plant.admission);
    pc_time_format(plant.admitted_until, until);
    return pc_refuse("record-unknown", "%s: no certificate yet; admitted %s until %s by %s%s%s", uuid,
                     plant.kind == CA_ADMIT_CODE ? "with a one-time code" : "on approval of its key", until,
                     plant.by, plant.waiting > 0 ? "; a key waits: plantca approve" : "",
                     plant.bound ? "; a key has it" : "");
}

/* The operand in the form that the record has: a UUID or name as it is, a serial number without colons and
 * leading zeros. */
static int read_operand(const struct cmd *cmd, char serial[PKI_SERIAL_TEXT], const char **ret)
{
    const char *what = cmd->operands[0];
    struct pki_serial parsed;

    if (!pki_uuid_is_canonical(what) && pki_serial_parse(what, &parsed) == 0) {
        pki_serial_format(&parsed, serial);
        *ret = serial;
        return 0;
    }
    if (cmd_given(cmd, "pem"))
        return pc_fail(PC_EUSAGE, "--pem needs a serial number: a name may have many certificates");
    *ret = what;
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
        rc = ca_open_to_read(&settings, &ca);
    if (rc != 0)
        return rc;
    if (cmd_given(cmd, "pem"))
        return print_pem(cmd, ca, what);
    rc = ca_show(ca, what, show_row, &table);
    if (rc == PC_EREFUSED && table.rows == 0 && pki_uuid_is_canonical(what))
        return refuse_unknown(ca, what);
    if (rc == PC_EREFUSED && what != serial && !pki_uuid_is_canonical(what))
        return pc_fail(PC_EUSAGE,
                       "'%.60s' is neither a UUID in its canonical form, nor a serial number, nor a name on "
                       "record",
                       what);
    return rc;
}
