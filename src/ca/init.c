/* Making an authority, each step on record before it is taken, so that an interrupted run is finished by the
 * next. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/random.h"
#include "src/base/time.h"
#include "src/ca/audit/checkpoint.h"
#include "src/ca/audit/key.h"
#include "src/ca/internal.h"
#include "src/pki/openssl.h"

/* What the settings ask for, judged before anything is opened. */
struct wanted {
    X509_NAME *subject;
    char *text; /* the subject in its one form */
    char *cn;
};

static void wanted_clear(struct wanted *wanted)
{
    X509_NAME_free(wanted->subject);
    pc_free_ref(&wanted->text);
    pc_free_ref(&wanted->cn);
}

static int judge_settings(const struct ca_settings *settings, struct wanted *ret)
{
    struct wanted PC_CLEANUP(wanted_clear) wanted = {0};
    int r = pki_name_parse(settings->subject, &wanted.subject);
    if (r == 0)
        r = pki_name_format(wanted.subject, &wanted.text);
    if (r < 0)
        return r;
    if (pki_name_cn(wanted.subject, &wanted.cn) < 0)
        return pc_fail(PC_EUSAGE, "subject %s: a CA needs exactly one CN", wanted.text);
    if (settings->key == PKI_KEY_RSA_2048)
        return pc_fail(PC_EUSAGE, "key %s: too short for a CA", pki_key_type_name(settings->key));
    if (strlen(wanted.text) >= sizeof((struct ledger_issuer *)NULL)->subject)
        return pc_fail(PC_EUSAGE, "subject: too long");
    *ret = wanted;
    wanted = (struct wanted){0};
    return 0;
}

static int exists(const struct ca_settings *settings)
{
    return pc_refuse("ca-exists", "%s: a CA is there already; nothing was touched", settings->state);
}

static int refuse_key(struct ca *ca, size_t count)
{
    return pc_refuse("ca-exists",
                     "token %s (serial %s) holds %zu CA key%s (label %s) that %s knows nothing of; restore "
                     "that folder from its "
                     "backup, or use another token",
                     ca->token_info.label, ca->token_info.serial, count, count == 1 ? "" : "s", CA_KEY_LABEL,
                     ca->settings->state);
}

/* A token with a CA key in it belongs to a CA, whether its record is here or not. */
static int check_token_free(struct ca *ca)
{
    size_t count = 0;
    int r = ca_token_login(ca);
    if (r == 0)
        r = hsm_key_count(ca->token, CA_KEY_LABEL, &count, NULL);
    return r < 0 || count == 0 ? r : refuse_key(ca, count);
}

int ca_state_make(const struct ca_settings *settings)
{
    int r = pc_dir_make(settings->state, 0700);
    if (r < 0)
        return r;
    return chmod(settings->state, 0700) == 0 ? 0 : pc_fail_errno(PC_EFAIL, "%s", settings->state);
}

/* The journal: which key will be made, and where. */
static int write_plan(struct ca *ca, const struct wanted *wanted)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_issuer *plan = &ca->issuer;
    *plan =
        (struct ledger_issuer){.key_id.len = HSM_ID_LEN, .days = ca->settings->days, .planned_at = pc_now()};
    snprintf(plan->subject, sizeof plan->subject, "%s", wanted->text);
    snprintf(plan->key_type, sizeof plan->key_type, "%s", pki_key_type_name(ca->settings->key));
    snprintf(plan->key_label, sizeof plan->key_label, "%s", CA_KEY_LABEL);
    snprintf(plan->token_serial, sizeof plan->token_serial, "%s", ca->token_info.serial);
    int r = pc_random(plan->key_id.octets, plan->key_id.len);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->issuer_plan(ca->ledger, plan, &plan->id);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){
                             .act = "plan", .outcome = "done", .profile = "root", .subject = wanted->cn});
    return r < 0 ? r : ca_commit(ca, &open);
}

/* The root's row that still counts; id 0 when there is none. */
static int root_row(struct ca *ca, struct ledger_certificate *ret)
{
    struct ledger_rows PC_CLEANUP(ledger_rows_clear) rows = {0};
    const struct ledger_query query = {.issuer = ca->issuer.id,
                                       .profile = pki_profile_root.name,
                                       .states = LEDGER_UNFINISHED | LEDGER_BIT(LEDGER_CURRENT)};
    int r = ledger_collect(ca->ledger, &query, &rows);
    if (r == 0)
        *ret = rows.count ? rows.rows[0] : (struct ledger_certificate){0};
    return r;
}

/* An interrupted init is finished as the settings say today, where that is still open: the key's kind until
 * it is made, all else until the root is on record. */
static int update_plan(struct ca *ca, const struct wanted *wanted, const struct ledger_certificate *root)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_issuer *plan = &ca->issuer;
    const char *key_type = pki_key_type_name(ca->settings->key);
    bool same_name = strcmp(plan->subject, wanted->text) == 0 && plan->days == ca->settings->days;
    bool same_key = strcmp(plan->key_type, key_type) == 0;
    if (same_name && same_key)
        return 0;
    if (root->id || (!same_key && ca->key))
        return pc_refuse("init-differs",
                         "an interrupted init began %s, %s, %lld days; other settings cannot finish it",
                         plan->subject, plan->key_type, (long long)plan->days);
    snprintf(plan->subject, sizeof plan->subject, "%s", wanted->text);
    snprintf(plan->key_type, sizeof plan->key_type, "%s", key_type);
    plan->days = ca->settings->days;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->issuer_replan(ca->ledger, plan);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){
                             .act = "plan", .outcome = "done", .profile = "root", .subject = wanted->cn});
    return r < 0 ? r : ca_commit(ca, &open);
}

/* The key of the journal, if the token made it before the interruption. What is left of a pair that the token
 * had not finished (a half, or halves without their values) is removed, unless something was signed with it.
 */
static int find_planned_key(struct ca *ca, const struct ledger_certificate *root)
{
    if (strcmp(ca->issuer.token_serial, ca->token_info.serial) != 0)
        return pc_refuse("init-token", "an interrupted init used the token with serial %s; this one is %s",
                         ca->issuer.token_serial, ca->token_info.serial);
    int r = hsm_key_find(ca->token, &ca->issuer.key_id, &ca->key);
    if (r == 0 && !root->id)
        r = hsm_key_check(ca->key, NULL);
    if (r != PC_EREFUSED || root->id)
        return r;
    hsm_key_free(pc_steal(ca->key));
    r = hsm_key_destroy(ca->token, &ca->issuer.key_id);
    return r == PC_EREFUSED && strcmp(pc_error_name(), "key-missing") == 0 ? 0 : r;
}

static int make_key(struct ca *ca)
{
    int r = check_token_free(ca);
    return r < 0 ? r
                 : hsm_key_generate(ca->token, ca->settings->key, CA_KEY_LABEL, &ca->issuer.key_id, &ca->key);
}

/* `outcome`: "done", or "found" where an interrupted run made it. */
static int record_key(struct ca *ca, const char *outcome)
{
    char sha256[PKI_FINGERPRINT_TEXT];
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = pki_key_fingerprint(ca->public_key, sha256);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){
                             .act = "key", .outcome = outcome, .profile = "root", .key_sha256 = sha256});
    return r < 0 ? r : ca_commit(ca, &open);
}

/* Reserves the root's row, or takes over the one that an interrupted run left. */
static int record_root(struct ca *ca, struct issuance *issuance)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_certificate row;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = root_row(ca, &row);
    if (r == 0)
        r = issuance_resume(ca, issuance, &row, "another process is making this CA");
    return r < 0 ? r : ca_commit(ca, &open);
}

static int make_root(struct ca *ca, const struct wanted *wanted)
{
    struct issuance PC_CLEANUP(issuance_clear) issuance = {
        .plan = {.profile = &pki_profile_root, .subject_key = ca->public_key, .subject = wanted->subject},
        .cn = wanted->cn,
        .revoke_old = -1,
    };
    int r = issuance_plan(ca, &issuance, ca->settings->days);
    if (r == 0)
        r = hsm_key_check(ca->key, NULL);
    if (r == 0)
        r = record_root(ca, &issuance);
    if (r == 0)
        r = issuance_complete(ca, &issuance);
    if (r == 0)
        ca->issuer.certificate = issuance.row;
    return r;
}

static int write_files(struct ca *ca)
{
    pc_autobytes crl = {0}, certificate = {0};
    pc_autofree char *path = NULL;
    struct ledger_crl last;
    int r = crl_last_pem(ca, &last, &crl);
    if (r == 0)
        r = crl_write(ca, &crl);
    if (r == 0)
        r = pki_certificate_append_pem(ca->certificate, &certificate);
    if (r == 0)
        r = ca_state_path(ca->settings, "ca.crt", &path);
    return r < 0 ? r : pc_file_write(path, certificate.data, certificate.len, NULL);
}

static int make_first_crl(struct ca *ca)
{
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
    struct ledger_crl last;
    int r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &last);
    return r < 0 || last.number ? r : crl_make(ca, &report, NULL);
}

/* From here on there is a CA. */
static int activate(struct ca *ca, const char *cn)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->issuer_activate(ca->ledger, ca->issuer.id, ca->issuer.certificate);
    if (r == 0)
        r = ca_audit(ca,
                     &(struct audit_act){.act = "init", .outcome = "done", .profile = "root", .subject = cn});
    return r < 0 ? r : ca_commit(ca, &open);
}

/* Plan, key: new ones, or those of the journal. */
static int plan_and_key(struct ca *ca, const struct wanted *wanted, struct ledger_certificate *ret_root)
{
    struct ledger_certificate root = {0};
    int r = ca->ledger->ops->issuer_get(ca->ledger, &ca->issuer);
    if (r < 0)
        return r;
    if (ca->issuer.active)
        return exists(ca->settings);
    if (ca->issuer.id) {
        r = root_row(ca, &root);
        if (r == 0)
            r = find_planned_key(ca, &root);
        if (r == 0)
            r = update_plan(ca, wanted, &root);
    } else {
        r = write_plan(ca, wanted);
    }
    const char *outcome = ca->key ? "found" : "done";
    if (r == 0 && !ca->key)
        r = make_key(ca);
    if (r < 0)
        return r;
    ca->public_key = hsm_key_public(ca->key);
    *ret_root = root;
    return record_key(ca, outcome);
}

static int make(struct ca *ca, const struct wanted *wanted, struct ca_summary *ret)
{
    struct ledger_certificate root = {0};
    int r = plan_and_key(ca, wanted, &root);
    if (r == 0 && root.state == LEDGER_CURRENT && root.id)
        ca->issuer.certificate = root.id;
    else if (r == 0)
        r = make_root(ca, wanted);
    if (r == 0)
        r = ca_load_certificate(ca);
    if (r == 0)
        r = make_first_crl(ca);
    if (r == 0)
        r = write_files(ca);
    if (r == 0)
        r = activate(ca, wanted->cn);
    if (r == 0)
        r = audit_key_ensure(ca);
    if (r == 0)
        r = checkpoint_make(ca, 0);
    if (r == 0)
        r = ca_summarise(ca, ret);
    if (r == 0)
        ret->made = true;
    return r;
}

int ca_init(const struct ca_settings *settings, struct ca_summary *ret)
{
    struct wanted PC_CLEANUP(wanted_clear) wanted = {0};
    struct ca *ca PC_CLEANUP(ca_close_ref) = NULL;
    struct ledger *none = NULL;
    enum ca_standing standing;
    bool empty;
    int r = judge_settings(settings, &wanted);
    if (r == 0)
        r = ca_standing(settings, &standing, &empty);
    if (r < 0)
        return r;
    if (standing == CA_ACTIVE)
        return exists(settings);
    if (standing == CA_HALF)
        return ca_refuse_half(settings);
    r = ca_new(settings, &none, &ca);
    if (r == 0)
        r = standing == CA_NOTHING ? check_token_free(ca) : ca_token_login(ca);
    /* Only now is anything written. */
    pc_autoclose int lock = -1;
    if (r == 0)
        r = ca_state_make(settings);
    if (r == 0)
        r = ca_lock(settings, &lock);
    if (r == 0)
        r = ledger_open(settings->ledger_url, settings->state, LEDGER_CREATE, &ca->ledger);
    return r < 0 ? r : make(ca, &wanted, ret);
}
