/* plantca plants: a line a plant, with its admission, its certificate, and what waits. */
#include "src/cmd/plantca/plantca.h"

#include "src/base/error.h"
#include "src/cmd/output.h"
#include "src/pki/name.h"

#define WIDE 110 /* columns of a terminal */

struct table {
    struct cmd *cmd;
    size_t rows;
    bool wide; /* there is room for who admitted */
};

static void print_json(const struct table *table, const struct ca_plant *p)
{
    bool admitted = p->admission[0] != '\0', certified = p->serial[0] != '\0';

    cmd_line(table->cmd,
             json_pack("{s:s,s:o,s:o,s:b,s:o,s:o,s:I,s:o,s:o,s:b}", "plant", p->plant, "admission",
                       admitted ? json_string(p->admission) : json_null(), "proof",
                       admitted ? json_string(p->kind == CA_ADMIT_CODE ? "code" : "pending") : json_null(),
                       "bound", p->bound, "admitted_until",
                       admitted ? cmd_json_time(p->admitted_until) : json_null(), "by",
                       admitted ? cmd_json_text(p->by) : json_null(), "waiting", (json_int_t)p->waiting,
                       "serial", certified ? json_string(p->serial) : json_null(), "expires",
                       certified ? cmd_json_time(p->not_after) : json_null(), "held", p->held));
}

static int print_row(void *context, const struct ca_plant *p)
{
    struct table *table = context;
    char expires[PC_TIME_TEXT], admission[32] = "-", certificate[32] = "-";

    table->rows++;
    if (table->cmd->json) {
        print_json(table, p);
        return 0;
    }
    if (table->rows == 1)
        cmd_print(table->cmd, "%-36s  %-18s  %7s  %s%s\n", "PLANT", "ADMISSION", "WAITING",
                  table->wide ? "EXPIRES          " : "EXPIRES", table->wide ? "ADMITTED BY" : "");
    if (p->admission[0] != '\0')
        snprintf(admission, sizeof admission, "%s, %s", p->kind == CA_ADMIT_CODE ? "code" : "pending",
                 p->admission);
    if (p->serial[0] != '\0') {
        pc_time_format(p->not_after, expires);
        snprintf(certificate, sizeof certificate, "%s%.10s", p->held ? "held " : "", expires);
    }
    cmd_print(table->cmd, "%-36s  %-18s  %7zu  %-*s%s\n", p->plant, admission, p->waiting,
              table->wide ? 17 : 0, certificate, table->wide ? p->by : "");
    return 0;
}

int plantca_run_plants(struct cmd *cmd)
{
    const char *plant = cmd->operand_count > 0 ? cmd->operands[0] : NULL;
    struct table table = {.cmd = cmd, .wide = plant != NULL || cmd_terminal_width() >= WIDE};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    int rc = plant != NULL ? pki_uuid_check(plant) : 0;

    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open_to_read(&settings, &ca);
    if (rc == 0)
        rc = ca_plants_each(ca, plant, print_row, &table);
    if (rc == 0 && plant != NULL && table.rows == 0)
        return pc_refuse("record-unknown", "%s: neither admitted nor certified", plant);
    return rc;
}
