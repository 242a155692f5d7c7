/* What an audit line says, and in which form: the only place that writes one. */
#include "src/ca/audit/line.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/time.h"
#include "src/pki/crl.h"

/* Every member that a line may have, in the order in which it is written: by name. */
enum member {
    ACT,
    ADDRESS,
    ADMISSION,
    AT,
    BUILD,
    CERTIFICATE,
    CHAIN,
    CHECKPOINT,
    COUNT,
    CRL_NUMBER,
    CRL,
    FILE_HASH,
    HOST,
    ISSUER_KEY,
    KEY,
    LOGIN_UID,
    MODULE,
    MODULE_HASH,
    NOTE,
    OUTCOME,
    PID,
    PREVIOUS,
    PROFILE,
    PROGRAM,
    PROOF,
    REASON,
    REQUEST,
    ROW,
    RULE,
    SCHEMA,
    SEQ,
    SERIAL,
    SINCE,
    SUBJECT,
    TBS,
    TERMINAL,
    TIME,
    TOKEN,
    UID,
    UNTIL,
    USER,
    MEMBERS,
};
static const char *const names[] = {
    [ACT] = "act",
    [ADDRESS] = "address",
    [ADMISSION] = "admission",
    [AT] = "at",
    [BUILD] = "build",
    [CERTIFICATE] = "certificate_sha256",
    [CHAIN] = "chain",
    [CHECKPOINT] = "checkpoint_sha256",
    [COUNT] = "count",
    [CRL_NUMBER] = "crl_number",
    [CRL] = "crl_sha256",
    [FILE_HASH] = "file_sha256",
    [HOST] = "host",
    [ISSUER_KEY] = "issuer_key_sha256",
    [KEY] = "key_sha256",
    [LOGIN_UID] = "login_uid",
    [MODULE] = "module",
    [MODULE_HASH] = "module_sha256",
    [NOTE] = "note",
    [OUTCOME] = "outcome",
    [PID] = "pid",
    [PREVIOUS] = "previous",
    [PROFILE] = "profile",
    [PROGRAM] = "program",
    [PROOF] = "proof",
    [REASON] = "reason",
    [REQUEST] = "request_sha256",
    [ROW] = "row",
    [RULE] = "rule",
    [SCHEMA] = "schema",
    [SEQ] = "seq",
    [SERIAL] = "serial",
    [SINCE] = "since",
    [SUBJECT] = "subject",
    [TBS] = "tbs_sha256",
    [TERMINAL] = "terminal",
    [TIME] = "time",
    [TOKEN] = "token_serial",
    [UID] = "uid",
    [UNTIL] = "until",
    [USER] = "user",
};
static_assert(sizeof names / sizeof *names == MEMBERS, "a name for each member");

/* Values as they stand in the line; NULL: the member is left out. */
struct audit_writer {
    char *values[MEMBERS]; /* owned */
};

void audit_writer_free(struct audit_writer *writer)
{
    if (!writer)
        return;
    for (size_t i = 0; i < MEMBERS; i++)
        free(writer->values[i]);
    free(writer);
}

/* Text that JSON takes as it is. */
static bool is_plain(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
            return false;
    return true;
}

/* As jansson writes a string in ASCII. What is not UTF-8 (a user or path of another encoding) is written as
 * its octets, rather than no row. */
static char *quote(const char *text)
{
    json_t *value = json_string(text);
    if (!value) {
        pc_autofree char *hex = malloc(2 * strlen(text) + 5);
        if (!hex)
            return NULL;
        memcpy(hex, "hex:", 4);
        pc_hex(text, strlen(text), hex + 4);
        value = json_string(hex);
    }
    char *quoted = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    json_decref(value);
    return quoted;
}

static int keep(struct audit_writer *writer, enum member member, const char *text)
{
    if (!text || !*text)
        return 0;
    writer->values[member] = quote(text);
    return writer->values[member] ? 0 : pc_fail(PC_EFAIL, "audit: out of memory");
}

static int keep_number(struct audit_writer *writer, enum member member, int64_t number)
{
    if (asprintf(&writer->values[member], "%" PRId64, number) < 0) {
        writer->values[member] = NULL;
        return pc_fail(PC_EFAIL, "audit: out of memory");
    }
    return 0;
}

/* Whose session it is, whoever they have become since (proc(5): 4294967295 means nobody's). */
static int keep_login(struct audit_writer *writer)
{
    char text[16];
    int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    unsigned long uid = strtoul(text, NULL, 10);
    return uid == UINT32_MAX ? 0 : keep_number(writer, LOGIN_UID, (int64_t)uid);
}

/* A directory service's names have no bound; "uid" beside it says the same for certain. Cut between two
 * characters (RFC 3629 §3), and short enough for the field even as octets in hexadecimal. */
static int keep_user(struct audit_writer *writer, const char *name)
{
    char user[AUDIT_USER_MAX + 1];
    size_t len = strnlen(name, sizeof user);
    if (len == sizeof user) {
        len--;
        for (int back = 0; back < 3 && ((unsigned char)name[len] & 0xc0) == 0x80; back++)
            len--;
    }
    memcpy(user, name, len);
    user[len] = '\0';
    return keep(writer, USER, user);
}

static int keep_who(struct audit_writer *writer)
{
    char buffer[4096], terminal[256] = "", host[256];
    struct passwd entry, *found = NULL;
    int r = keep_number(writer, UID, getuid());
    if (r == 0)
        r = keep_number(writer, PID, getpid());
    if (r == 0)
        r = keep_login(writer);
    if (r == 0 && getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) == 0 && found)
        r = keep_user(writer, found->pw_name);
    for (int fd = 0; r == 0 && fd <= 2 && !writer->values[TERMINAL]; fd++)
        if (ttyname_r(fd, terminal, sizeof terminal) == 0)
            r = keep(writer, TERMINAL, terminal);
    if (r == 0 && gethostname(host, sizeof host) == 0 && memchr(host, '\0', sizeof host))
        r = keep(writer, HOST, host);
    return r;
}

int audit_writer_new(const struct audit_actor *actor, struct audit_writer **ret)
{
    const struct {
        enum member member;
        const char *text;
    } texts[] = {
        {BUILD, actor->build},     {ISSUER_KEY, actor->issuer_key_sha256},
        {MODULE, actor->module},   {MODULE_HASH, actor->module_sha256},
        {PROGRAM, actor->program}, {TOKEN, actor->token_serial},
    };
    struct audit_writer *writer PC_CLEANUP(audit_writer_free_ref) = calloc(1, sizeof *writer);
    if (!writer)
        return pc_fail(PC_EFAIL, "audit: out of memory");
    int r = keep_number(writer, SCHEMA, AUDIT_LINE_SCHEMA);
    for (size_t i = 0; r == 0 && i < sizeof texts / sizeof *texts; i++)
        r = keep(writer, texts[i].member, texts[i].text);
    if (r == 0)
        r = keep_who(writer);
    if (r == 0)
        *ret = pc_steal(writer);
    return r;
}

/* One member of the line that is being put together. */
struct value {
    const char *text;
    size_t len;
    bool quoted; /* stands between quotation marks that are not in `text` */
    char *owned;
    char number[24];
};

static void values_clear(struct value (*values)[MEMBERS])
{
    for (size_t i = 0; i < MEMBERS; i++)
        free((*values)[i].owned);
}

static int put(struct value *value, const char *text)
{
    if (!text || !*text)
        return 0;
    if (is_plain(text)) {
        value->text = text;
        value->quoted = true;
    } else {
        value->text = value->owned = quote(text);
        if (!value->text)
            return pc_fail(PC_EFAIL, "audit: out of memory");
    }
    value->len = strlen(value->text);
    return 0;
}

static void put_number(struct value *value, uint64_t number)
{
    if (number == 0)
        return;
    value->len = (size_t)snprintf(value->number, sizeof value->number, "%" PRIu64, number);
    value->text = value->number;
}

/* Says why: only acts that give a reason do. */
static const char *reason_of(const struct audit_act *act)
{
    static const char *const with[] = {"revoke", "hold", "incident", "import", "orphan", "allow"};
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        if (strcmp(act->act, with[i]) == 0)
            return act->reason < 0 ? NULL : pki_reason_name(act->reason);
    return NULL;
}

static int put_act(struct value values[MEMBERS], const struct audit_act *act)
{
    const struct {
        enum member member;
        const char *text;
    } texts[] = {
        {ACT, act->act},
        {ADDRESS, act->address},
        {CERTIFICATE, act->certificate_sha256},
        {CHECKPOINT, act->checkpoint_sha256},
        {CRL, act->crl_sha256},
        {FILE_HASH, act->file_sha256},
        {KEY, act->key_sha256},
        {NOTE, act->note},
        {OUTCOME, act->outcome},
        {PROFILE, act->profile},
        {PROOF, act->proof},
        {REASON, reason_of(act)},
        {REQUEST, act->request_sha256},
        {RULE, act->rule},
        {SERIAL, act->serial},
        {SUBJECT, act->subject},
        {TBS, act->tbs_sha256},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof texts / sizeof *texts; i++)
        r = put(&values[texts[i].member], texts[i].text);
    put_number(&values[ADMISSION], (uint64_t)act->admission);
    put_number(&values[AT], (uint64_t)act->at);
    put_number(&values[COUNT], (uint64_t)act->count);
    put_number(&values[CRL_NUMBER], act->crl_number);
    put_number(&values[ROW], (uint64_t)act->certificate);
    put_number(&values[SINCE], (uint64_t)act->since);
    put_number(&values[UNTIL], (uint64_t)act->until);
    return r;
}

static char *append(char *end, const char *text, size_t len)
{
    memcpy(end, text, len);
    return end + len;
}

static int join(const struct value values[MEMBERS], char **ret)
{
    size_t size = 3;
    for (size_t i = 0; i < MEMBERS; i++)
        if (values[i].text)
            size += values[i].len + strlen(names[i]) + 6;
    char *line = malloc(size), *end = line;
    if (!line)
        return pc_fail(PC_EFAIL, "audit: out of memory");
    *end++ = '{';
    for (size_t i = 0; i < MEMBERS; i++) {
        if (!values[i].text)
            continue;
        if (end[-1] != '{')
            *end++ = ',';
        *end++ = '"';
        end = append(end, names[i], strlen(names[i]));
        end = append(end, "\":\"", values[i].quoted ? 3 : 2);
        end = append(end, values[i].text, values[i].len);
        if (values[i].quoted)
            *end++ = '"';
    }
    *end++ = '}';
    *end = '\0';
    *ret = line;
    return 0;
}

int audit_line_write(const struct audit_writer *writer, const struct ledger_audit *head,
                     const struct audit_act *act, char **ret)
{
    struct value values[MEMBERS] PC_CLEANUP(values_clear) = {0};
    char time[PC_TIME_TEXT];
    pc_time_format(pc_now(), time);
    for (size_t i = 0; i < MEMBERS; i++)
        if (writer->values[i])
            values[i] = (struct value){.text = writer->values[i], .len = strlen(writer->values[i])};
    put_number(&values[SEQ], (uint64_t)head->seq + 1);
    int r = put(&values[CHAIN], head->chain);
    if (r == 0)
        r = put(&values[PREVIOUS], head->sha256);
    if (r == 0)
        r = put(&values[TIME], time);
    if (r == 0)
        r = put_act(values, act);
    return r < 0 ? r : join(values, ret);
}

/* A text member into a field of fixed size; one that is too long is none of ours. */
static bool take_text(const json_t *line, enum member member, char *ret, size_t size)
{
    const json_t *value = json_object_get(line, names[member]);
    if (!value)
        return true;
    const char *text = json_string_value(value);
    if (!text || strlen(text) >= size)
        return false;
    memcpy(ret, text, strlen(text) + 1);
    return true;
}

/* For people to read: one that an earlier release wrote in full is no reason to call the line foreign. */
static bool take_user(const json_t *line, char *ret, size_t size)
{
    const json_t *value = json_object_get(line, names[USER]);
    if (value && !json_is_string(value))
        return false;
    snprintf(ret, size, "%s", value ? json_string_value(value) : "");
    return true;
}

static bool take_number(const json_t *line, enum member member, int64_t *ret)
{
    const json_t *value = json_object_get(line, names[member]);
    if (value && !json_is_integer(value))
        return false;
    *ret = value ? (int64_t)json_integer_value(value) : 0;
    return true;
}

static bool take_line(const json_t *line, struct audit_line *ret)
{
    struct audit_line l = {0};
    int64_t schema = 0, crl = 0;
    char time[PC_TIME_TEXT] = "";
    const struct {
        enum member member;
        char *field;
        size_t size;
    } texts[] = {
        {ACT, l.act, sizeof l.act},
        {ADDRESS, l.address, sizeof l.address},
        {CERTIFICATE, l.certificate_sha256, sizeof l.certificate_sha256},
        {CHAIN, l.chain, sizeof l.chain},
        {CHECKPOINT, l.checkpoint_sha256, sizeof l.checkpoint_sha256},
        {CRL, l.crl_sha256, sizeof l.crl_sha256},
        {FILE_HASH, l.file_sha256, sizeof l.file_sha256},
        {KEY, l.key_sha256, sizeof l.key_sha256},
        {OUTCOME, l.outcome, sizeof l.outcome},
        {PREVIOUS, l.previous, sizeof l.previous},
        {PROFILE, l.profile, sizeof l.profile},
        {PROOF, l.proof, sizeof l.proof},
        {RULE, l.rule, sizeof l.rule},
        {REASON, l.reason, sizeof l.reason},
        {SERIAL, l.serial, sizeof l.serial},
        {SUBJECT, l.subject, sizeof l.subject},
        {TBS, l.tbs_sha256, sizeof l.tbs_sha256},
        {TIME, time, sizeof time},
    };
    bool good = take_number(line, SCHEMA, &schema) && take_number(line, SEQ, &l.seq) &&
                take_number(line, ROW, &l.row) && take_number(line, CRL_NUMBER, &crl) &&
                take_number(line, UNTIL, &l.until) && take_number(line, SINCE, &l.since) &&
                take_number(line, AT, &l.at) && take_number(line, ADMISSION, &l.admission) &&
                take_user(line, l.user, sizeof l.user);
    for (size_t i = 0; good && i < sizeof texts / sizeof *texts; i++)
        good = take_text(line, texts[i].member, texts[i].field, texts[i].size);
    if (!good || schema < 1 || schema > AUDIT_LINE_SCHEMA || !*l.act || !*l.outcome || !*l.previous ||
        pc_time_parse(time, &l.time) < 0)
        return false;
    l.schema = (int)schema;
    l.crl_number = (uint64_t)crl;
    *ret = l;
    return true;
}

int audit_line_read(const char *text, struct audit_line *ret)
{
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    bool good = line && take_line(line, ret);
    json_decref(line);
    return good ? 0 : pc_refuse("audit-line", "not an audit line");
}
