/* What an audit line says, and in which form: the only place that writes one. */
#include "src/ca/audit/line.h"

#include <jansson.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
char *audit_line(const struct ledger_audit *head, const struct audit_actor *actor,
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
