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
#define SEPARATORS ",;\t"   /* a line's own is the first that it holds: no UUID holds one */
#define IN_UTF8 "save the table as \"CSV UTF-8\""

struct complaint {
    size_t line;
    char *text; /* owned */
};

struct shift {
    struct cmd *cmd;
    struct ca *ca;
    const char *path;
    struct pc_bytes file;
    const struct ca_admission_order *order; /* what a line leaves open */
    struct ca_admission_order *orders;      /* text borrowed from `file` */
    size_t *lines;                          /* of each */
    size_t count, room, faults;
    bool begun; /* a line with something in it was read */
    struct complaint complaints[COMPLAINTS_MAX];
    size_t complaint_count;
};

static void shift_free(struct shift *s)
{
    if (s == NULL)
        return;
    free(s->orders);
    free(s->lines);
    for (size_t i = 0; i < s->complaint_count; i++)
        free(s->complaints[i].text);
    pc_bytes_clear(&s->file);
    free(s);
}
PC_DEFINE_CLEANUP(struct shift, shift_free);

/* Kept until all is known: it is told in the order of the lines. */
static void complain(struct shift *s, size_t line, const char *what)
{
    char *text = s->faults++ < COMPLAINTS_MAX ? strdup(what) : NULL;

    if (text != NULL)
        s->complaints[s->complaint_count++] = (struct complaint){line, text};
}

static int compare_lines(const void *a, const void *b)
{
    const struct complaint *left = a, *right = b;

    return (left->line > right->line) - (left->line < right->line);
}

static void tell_complaints(struct shift *s)
{
    char text[512];

    qsort(s->complaints, s->complaint_count, sizeof *s->complaints, compare_lines);
    for (size_t i = 0; i < s->complaint_count; i++) {
        snprintf(text, sizeof text, "%s:%zu: %s", s->path, s->complaints[i].line, s->complaints[i].text);
        cmd_complain(s->cmd, "", text);
    }
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

static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);

    json_decref(string);
    return string != NULL;
}

/* What is wrong with the fields, or NULL. */
static const char *read_fields(const struct shift *s, char *at, struct ca_admission_order *ret)
{
    char *plant = NULL, *proof = NULL, *note = NULL, separator = at[strcspn(at, SEPARATORS)];
    const char *fault = is_utf8(at) ? pc_csv_field(&at, separator, &plant)
                                    : "not in UTF-8 (but Windows-1250 or 1252, perhaps): " IN_UTF8;

    if (fault == NULL && at != NULL)
        fault = pc_csv_field(&at, separator, &proof);
    if (fault == NULL && at != NULL)
        fault = pc_csv_field(&at, separator, &note);
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

/* The first line with something in it may name the columns. */
static bool is_header(const char *text)
{
    text += *text == '"';
    return strncasecmp(text, "uuid", 4) == 0 || strncasecmp(text, "plant", 5) == 0;
}

static void complain_of_line(struct shift *s, size_t line, const char *fault, bool header)
{
    char text[384];

    snprintf(text, sizeof text, "%s%s", fault,
             header ? " (a header would begin with \"uuid\" or \"plant\")" : "");
    complain(s, line, text);
}

static int read_line(struct shift *s, char *text, size_t line)
{
    struct ca_admission_order order = *s->order;
    size_t len = strlen(text);

    if (len > 0 && text[len - 1] == '\r')
        text[len - 1] = '\0';
    if (line == 1)
        text = pc_csv_begin(text);
    if (text[strspn(text, SEPARATORS " ")] == '\0')
        return 0; /* a row of a table without anything in it */
    bool first = !s->begun;
    s->begun = true;
    if (first && is_header(text))
        return 0;
    const char *fault = read_fields(s, text, &order);
    if (fault != NULL) {
        complain_of_line(s, line, fault, first && order.plant == NULL);
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

/* UTF-16 is what spreadsheets call "Unicode text". */
static int check_encoding(const struct shift *s)
{
    const unsigned char *data = s->file.data;

    if (s->file.len >= 2 && ((data[0] == 0xff && data[1] == 0xfe) || (data[0] == 0xfe && data[1] == 0xff)))
        return pc_fail_named(PC_EUSAGE, "shift-syntax", "%s: in UTF-16: " IN_UTF8, s->path);
    if (s->file.len > 0 && memchr(data, '\0', s->file.len) != NULL)
        return pc_fail_named(PC_EUSAGE, "shift-syntax", "%s: holds a NUL, as no text in UTF-8 does: " IN_UTF8,
                             s->path);
    return 0;
}

static int read_shift(struct shift *s)
{
    int rc = pc_file_read(s->path, FILE_MAX, &s->file);
    size_t line = 1;

    if (rc == 0)
        rc = check_encoding(s);
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
        if (admissions[i].enrolled[0] != '\0') {
            cmd_line(s->cmd, json_pack("{s:s,s:s,s:s}", "plant", admissions[i].plant, "state",
                                       admissions[i].state, "serial", admissions[i].enrolled));
            continue;
        }
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

/* Of whom there was nothing to do: the same shift comes again once some of it is done. */
static size_t tell_enrolled(const struct shift *s, const struct ca_admission *admissions)
{
    size_t count = 0;

    for (size_t i = 0; i < s->count; i++)
        if (admissions[i].enrolled[0] != '\0' && count++ < COMPLAINTS_MAX)
            cmd_say(s->cmd, "%s:%zu: %s has its certificate, %s\n", s->path, s->lines[i], admissions[i].plant,
                    admissions[i].enrolled);
    if (count > 0)
        cmd_say(s->cmd, "Enrolled before, and left as %s: %zu plant%s\n", count == 1 ? "it is" : "they are",
                count, CMD_S(count));
    return count;
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

static void tell_summary(const struct shift *s, const struct ca_admission *admissions)
{
    const char *out = cmd_value(s->cmd, "out");
    size_t admitted;

    s->cmd->summary = cmd_is_stdout(out) ? stderr : stdout;
    admitted = s->count - tell_enrolled(s, admissions);
    cmd_say(s->cmd, "Admitted: %zu plant%s\n", admitted, CMD_S(admitted));
    tell_void(s, admissions);
    if (!cmd_is_stdout(out))
        cmd_say(s->cmd, "Codes in: %s\n", out);
}

static int admit_shift(struct shift *s)
{
    pc_autofree struct ca_admission *admissions = calloc(s->count, sizeof *admissions);
    pc_autofree char(*codes)[CA_CODE_TEXT] = calloc(s->count, sizeof *codes);

    if (admissions == NULL || codes == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    int rc = ca_admit_all(s->ca, s->orders, s->count, tell_refused, s, admissions, codes);
    if (rc != 0 && s->faults > 0)
        rc = pc_fail_named(rc, pc_error_name(), "%s: %zu plant%s refused; nobody was admitted", s->path,
                           s->faults, s->faults == 1 ? " is" : "s are");
    if (rc == 0)
        rc = tell_shift(s, admissions, codes);
    explicit_bzero(codes, s->count * sizeof *codes);
    if (rc == 0)
        tell_summary(s, admissions);
    return rc;
}

int plantca_allow_shift(struct cmd *cmd, struct ca *ca, const struct ca_admission_order *order)
{
    PC_CLEANUP(shift_free_ref) struct shift *s = calloc(1, sizeof *s);
    struct ca_admission_order each = *order;

    if (s == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    each.leave_enrolled = true;
    *s = (struct shift){.cmd = cmd, .ca = ca, .path = cmd_value(cmd, "import"), .order = &each};
    int rc = read_shift(s);
    if (rc == 0)
        rc = admit_shift(s);
    tell_complaints(s);
    return rc;
}
