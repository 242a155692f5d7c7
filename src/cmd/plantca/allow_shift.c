/* plantca allow --import: a shift's PLCs, judged as a whole and admitted in one transaction. */
#include "src/cmd/plantca/plantca.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/base/csv.h"
#include "src/base/error.h"
#include "src/cmd/output.h"
#include "src/pki/name.h"

#define FILE_MAX (16 << 20) /* bytes */
#define PLANTS_MAX 100000
#define NOTE_MAX 255
#define COMPLAINTS_MAX 1000 /* lines of which it is said what is wrong */

struct shift {
    struct cmd *cmd;
    struct ca *ca;
    const char *path;
    struct pc_bytes file;
    const struct ca_admission_order *order; /* what a line leaves open */
    struct ca_admission_order *orders;      /* text borrowed from `file` */
    size_t *lines;                          /* of each */
    size_t count, room, faults;
};

static void shift_clear(struct shift *s)
{
    free(s->orders);
    free(s->lines);
    pc_bytes_clear(&s->file);
}

/* All that is wrong is told, and the first of it is the error. */
static void complain(struct shift *s, size_t line, const char *what)
{
    char text[512];

    snprintf(text, sizeof text, "%s:%zu: %s", s->path, line, what);
    if (s->faults++ < COMPLAINTS_MAX)
        cmd_complain(s->cmd, "", text);
}

static int grow(struct shift *s)
{
    if (s->count < s->room)
        return 0;
    size_t room = s->room != 0 ? 2 * s->room : 64;
    void *orders = reallocarray(s->orders, room, sizeof *s->orders);
    if (orders != NULL)
        s->orders = orders;
    void *lines = orders != NULL ? reallocarray(s->lines, room, sizeof *s->lines) : NULL;
    if (lines == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    s->lines = lines;
    s->room = room;
    return 0;
}

/* As spreadsheets write them where the comma is for decimals. No UUID holds one. */
static bool has_semicolons(const char *line)
{
    const char *end = line + strcspn(line, ",;");

    return *end == ';' && end - line <= PKI_UUID_TEXT + 1;
}

/* What is wrong with the fields, or NULL. */
static const char *read_fields(const struct shift *s, char *at, struct ca_admission_order *ret)
{
    char *plant = NULL, *proof = NULL, *note = NULL;
    const char *fault = has_semicolons(at) ? "semicolons between the fields: save the table with commas"
                                           : pc_csv_field(&at, &plant);

    if (fault == NULL && at != NULL)
        fault = pc_csv_field(&at, &proof);
    if (fault == NULL && at != NULL)
        fault = pc_csv_field(&at, &note);
    if (fault != NULL)
        return fault;
    if (at != NULL)
        return "more than three fields: uuid,code|pending,note";
    if (pki_uuid_check(plant) != 0)
        return pc_error_text();
    ret->plant = plant;
    if (proof != NULL && *proof != '\0' && strcmp(proof, "code") != 0 && strcmp(proof, "pending") != 0)
        return "the second field is neither code nor pending";
    if (proof != NULL && *proof != '\0')
        ret->kind = *proof == 'p' ? CA_ADMIT_PENDING : CA_ADMIT_CODE;
    if (note != NULL && strlen(note) > NOTE_MAX)
        return "a note is longer than 255 bytes";
    for (const char *c = note; c != NULL && *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return "a control character in the note";
    if (note != NULL && *note != '\0')
        ret->note = note;
    return plantca_allow_valid(s->cmd, ret->kind, &ret->valid) != 0 ? pc_error_text() : NULL;
}

static int read_line(struct shift *s, char *text, size_t line)
{
    struct ca_admission_order order = *s->order;
    size_t len = strlen(text);

    if (len > 0 && text[len - 1] == '\r')
        text[len - 1] = '\0';
    if (line == 1)
        text = pc_csv_begin(text);
    bool header = line == 1 && (strncasecmp(text, "uuid", 4) == 0 || strncasecmp(text, "plant", 5) == 0);
    if (*text == '\0' || header)
        return 0;
    const char *fault = read_fields(s, text, &order);
    if (fault != NULL) {
        complain(s, line, fault);
        return 0;
    }
    if (s->count == PLANTS_MAX)
        return pc_fail(PC_EUSAGE, "%s: more than %d plants", s->path, PLANTS_MAX);
    int rc = grow(s);
    if (rc != 0)
        return rc;
    s->lines[s->count] = line;
    s->orders[s->count++] = order;
    return 0;
}

static int compare_plants(const void *a, const void *b)
{
    const struct ca_admission_order *const *left = a, *const *right = b;
    int order = strcmp((*left)->plant, (*right)->plant);

    return order != 0 ? order : (*left > *right) - (*left < *right);
}

/* No plant twice. */
static int find_twins(struct shift *s)
{
    pc_autofree const struct ca_admission_order **sorted = calloc(s->count + 1, sizeof *sorted);

    if (sorted == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    for (size_t i = 0; i < s->count; i++)
        sorted[i] = &s->orders[i];
    qsort(sorted, s->count, sizeof *sorted, compare_plants);
    for (size_t i = 1; i < s->count; i++)
        if (strcmp(sorted[i - 1]->plant, sorted[i]->plant) == 0) {
            char text[96];
            snprintf(text, sizeof text, "plant %s again, as in line %zu", sorted[i]->plant,
                     s->lines[sorted[i - 1] - s->orders]);
            complain(s, s->lines[sorted[i] - s->orders], text);
        }
    return 0;
}

static void tell_refused(void *context, size_t index)
{
    struct shift *s = context;

    complain(s, s->lines[index], pc_error_text());
}

/* Who corrects a file learns all that is wrong with it at once. */
static int judge_rest(struct shift *s)
{
    int rc = ca_admit_judge(s->ca, s->orders, s->count, tell_refused, s);

    return rc == PC_EREFUSED ? 0 : rc;
}

static int read_shift(struct shift *s)
{
    int rc = pc_file_read(s->path, FILE_MAX, &s->file);
    size_t line = 1;

    if (rc == 0 && s->file.len > 0 && memchr(s->file.data, '\0', s->file.len) != NULL)
        return pc_fail(PC_EUSAGE, "%s: holds a NUL", s->path);
    for (char *at = (char *)s->file.data; rc == 0 && at != NULL && *at != '\0'; line++) {
        char *end = strchr(at, '\n');
        if (end != NULL)
            *end = '\0';
        rc = read_line(s, at, line);
        at = end != NULL ? end + 1 : NULL;
    }
    if (rc == 0)
        rc = find_twins(s);
    if (rc == 0 && s->faults > 0)
        rc = judge_rest(s);
    if (rc == 0 && s->faults > 0)
        return pc_fail_named(PC_EUSAGE, "shift-syntax", "%s: %zu line%s wrong; nobody was admitted", s->path,
                             s->faults, s->faults == 1 ? " is" : "s are");
    if (rc == 0 && s->count == 0)
        return pc_fail_named(PC_EUSAGE, "shift-syntax", "%s: no plants", s->path);
    return rc;
}

static int tell_shift(struct shift *s, const struct ca_admission *admissions, char (*codes)[CA_CODE_TEXT])
{
    const char *out = cmd_value(s->cmd, "out");
    bool to_file = !cmd_is_stdout(out);
    char *data = NULL, until[PC_TIME_TEXT];
    size_t size = 0;
    int rc = 0;
    FILE *text = open_memstream(&data, &size);

    if (text == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    fprintf(text, "uuid,code,expires\n");
    for (size_t i = 0; i < s->count; i++) {
        pc_time_format(admissions[i].expires_at, until);
        fprintf(text, "%s,%s,%s\n", admissions[i].plant, codes[i], until);
        if (s->cmd->json)
            cmd_line(s->cmd, plantca_admission_json(&admissions[i], to_file ? NULL : codes[i]));
    }
    if (fclose(text) != 0)
        rc = pc_fail(PC_EFAIL, "out of memory");
    if (rc == 0 && to_file)
        rc = cmd_write(s->cmd, out, &(struct pc_bytes){(unsigned char *)data, size},
                       &(struct pc_file_options){.mode = 0600, .fresh = true});
    else if (rc == 0)
        cmd_print(s->cmd, "%s", data);
    if (data != NULL)
        explicit_bzero(data, size);
    free(data);
    return rc != 0 ? pc_fail_in("admitted, but the codes are lost (import the file again)") : 0;
}

/* Codes that were handed out, and are good for nothing from here on. */
static void tell_void(const struct shift *s, const struct ca_admission *admissions)
{
    size_t count = 0;

    for (size_t i = 0; i < s->count; i++)
        count += admissions[i].voids_code;
    if (count > 0)
        cmd_say(s->cmd, "Void: %zu earlier code%s of %s\n", count, CMD_S(count),
                s->count == 1 ? "this plant" : "these plants");
}

int plantca_allow_shift(struct cmd *cmd, struct ca *ca, const struct ca_admission_order *order)
{
    PC_CLEANUP(shift_clear)
    struct shift s = {.cmd = cmd, .ca = ca, .path = cmd_value(cmd, "import"), .order = order};
    pc_autofree struct ca_admission *admissions = NULL;
    pc_autofree char(*codes)[CA_CODE_TEXT] = NULL;
    int rc = read_shift(&s);

    if (rc != 0)
        return rc;
    admissions = calloc(s.count, sizeof *admissions);
    codes = calloc(s.count, sizeof *codes);
    if (admissions == NULL || codes == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    rc = ca_admit_all(ca, s.orders, s.count, tell_refused, &s, admissions, codes);
    if (rc != 0 && s.faults > 0)
        rc = pc_fail_named(rc, pc_error_name(), "%s: %zu plant%s refused; nobody was admitted", s.path,
                           s.faults, s.faults == 1 ? " is" : "s are");
    if (rc == 0)
        rc = tell_shift(&s, admissions, codes);
    explicit_bzero(codes, s.count * sizeof *codes);
    if (rc != 0)
        return rc;
    cmd->summary = cmd_is_stdout(cmd_value(cmd, "out")) ? stderr : stdout;
    cmd_say(cmd, "Admitted: %zu plant%s\n", s.count, CMD_S(s.count));
    tell_void(&s, admissions);
    if (!cmd_is_stdout(cmd_value(cmd, "out")))
        cmd_say(cmd, "Codes in: %s\n", cmd_value(cmd, "out"));
    return 0;
}
