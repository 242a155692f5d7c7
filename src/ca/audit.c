/* Audit rows: what a line says, how it is chained to the one before, and whether a chain still holds. */
#include "src/ca/audit.h"

#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/crl.h"

static void put(json_t *line, const char *key, const char *text)
{
    if (!text || !*text)
        return;
    json_t *value = json_string(text);
    if (!value) {
        /* Not UTF-8 (a user or path of another encoding): its octets, rather than no row. */
        pc_autofree char *hex = malloc(2 * strlen(text) + 5);
        if (hex) {
            memcpy(hex, "hex:", 4);
            pc_hex(text, strlen(text), hex + 4);
            value = json_string(hex);
        }
    }
    json_object_set_new(line, key, value);
}

static void put_who(json_t *line)
{
    char buffer[4096], terminal[256], host[256];
    struct passwd entry, *found = NULL;
    json_object_set_new(line, "uid", json_integer(getuid()));
    json_object_set_new(line, "pid", json_integer(getpid()));
    if (getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) == 0 && found)
        put(line, "user", found->pw_name);
    if (ttyname_r(STDIN_FILENO, terminal, sizeof terminal) == 0)
        put(line, "terminal", terminal);
    if (gethostname(host, sizeof host) == 0 && memchr(host, '\0', sizeof host))
        put(line, "host", host);
}

static void put_act(json_t *line, const struct audit_act *act)
{
    put(line, "act", act->act);
    put(line, "outcome", act->outcome);
    put(line, "rule", act->rule);
    put(line, "profile", act->profile);
    put(line, "subject", act->subject);
    put(line, "serial", act->serial);
    put(line, "key_sha256", act->key_sha256);
    put(line, "request_sha256", act->request_sha256);
    put(line, "tbs_sha256", act->tbs_sha256);
    put(line, "certificate_sha256", act->certificate_sha256);
    if (strcmp(act->act, "revoke") == 0)
        put(line, "reason", pki_reason_name(act->reason));
    if (act->crl_number)
        json_object_set_new(line, "crl_number", json_integer((json_int_t)act->crl_number));
}

/* The canonical form: one line, keys sorted, ASCII. */
static char *format_line(const struct ledger_audit *head, const struct audit_actor *actor,
                         const struct audit_act *act)
{
    json_t *line = json_object();
    char time[PC_TIME_TEXT];
    if (!line)
        return NULL;
    pc_time_format(pc_now(), time);
    json_object_set_new(line, "schema", json_integer(1));
    json_object_set_new(line, "seq", json_integer(head->seq + 1));
    put(line, "chain", head->chain);
    put(line, "previous", head->sha256);
    put(line, "time", time);
    put(line, "program", actor->program);
    put(line, "module", actor->module);
    put(line, "token_serial", actor->token_serial);
    put_who(line);
    put_act(line, act);
    char *text = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    json_decref(line);
    return text;
}

int audit_append(struct ledger *ledger, const struct audit_actor *actor, const struct audit_act *act)
{
    struct ledger_audit row;
    int r = ledger->ops->audit_head(ledger, &row);
    if (r < 0)
        return r;
    pc_autofree char *line = format_line(&row, actor, act);
    if (!line)
        return pc_fail(PC_EFAIL, "audit: out of memory");
    row.seq++;
    row.line = line;
    r = pki_digest_hex(line, strlen(line), row.sha256);
    return r < 0 ? r : ledger->ops->audit_append(ledger, &row);
}

struct verification {
    struct audit_verdict verdict;
    char chain[33], previous[PKI_FINGERPRINT_TEXT];
    int64_t seq;
};

/* What is wrong with this row, or NULL. */
static const char *fault_of(const struct verification *v, const struct ledger_audit *row)
{
    char digest[PKI_FINGERPRINT_TEXT];
    const char *chain = "", *previous = "";
    json_int_t seq = 0;
    if (!row->line || pki_digest_hex(row->line, strlen(row->line), digest) < 0 ||
        strcmp(digest, row->sha256) != 0)
        return "the line does not have the hash on record";
    json_t *line = json_loads(row->line, JSON_REJECT_DUPLICATES, NULL);
    bool read = line && json_unpack(line, "{s:s, s:s, s:I}", "chain", &chain, "previous", &previous, "seq",
                                    &seq) == 0;
    const char *fault = NULL;
    if (!read)
        fault = "the line is no audit line";
    else if (row->seq != v->seq + 1)
        fault = "rows before it are missing";
    else if (strcmp(chain, row->chain) != 0 || seq != row->seq)
        fault = "the line belongs elsewhere";
    else if (strcmp(previous, v->previous) != 0)
        fault = "it does not follow from the row before";
    json_decref(line);
    return fault;
}

static int verify_row(void *context, const struct ledger_audit *row)
{
    struct verification *v = context;
    if (strcmp(v->chain, row->chain) != 0) {
        memcpy(v->chain, row->chain, sizeof v->chain);
        memset(v->previous, '0', sizeof v->previous - 1);
        v->seq = 0;
    }
    const char *fault = fault_of(v, row);
    if (fault && v->verdict.sound) {
        v->verdict.sound = false;
        snprintf(v->verdict.text, sizeof v->verdict.text, "audit row %lld of chain %s: %s",
                 (long long)row->seq, row->chain, fault);
    }
    v->verdict.rows++;
    v->seq = row->seq;
    memcpy(v->previous, row->sha256, sizeof v->previous);
    memcpy(v->verdict.head, row->sha256, sizeof v->verdict.head);
    return 0;
}

int audit_verify(struct ledger *ledger, struct audit_verdict *ret)
{
    struct verification v = {.verdict.sound = true};
    int r = ledger->ops->audit_each(ledger, 1, verify_row, &v);
    if (r < 0)
        return r;
    *ret = v.verdict;
    return 0;
}
