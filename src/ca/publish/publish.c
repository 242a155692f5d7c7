/* Publication: the order of its acts. Judged first; then CRL before CA file for an issuer that comes, and the
 * reverse for one that goes, so that a broker reading in between knows every revocation that it needs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/run.h"
#include "src/base/time.h"
#include "src/ca/publish/publication.h"

void ca_publish_report_clear(struct ca_publish_report *report)
{
    free(report->shut_out);
    *report = (struct ca_publish_report){0};
}

/* A CRL past its nextUpdate would shut out the whole fleet, one that lacks a revocation would let a thief in.
 */
static int renew_crl(struct ca *ca)
{
    struct ca_crl_report PC_CLEANUP(ca_crl_report_clear) report = {0};
    bool due = false;
    int r = crl_renewal_due(ca, &due);
    return r < 0 || !due ? r : ca_crl(ca, &report, NULL);
}

static bool differs(const struct pc_bytes *a, const struct pc_bytes *b)
{
    return a->len != b->len || memcmp(a->data, b->data, a->len) != 0;
}

static int install(struct layout *layout, const struct bundle *old, const struct bundle *new)
{
    pc_autobytes between = {0};
    int r = bundle_between(old, new, &between);
    bool removes = r == 0 && differs(&between, &new->crl_pem);
    if (r == 0)
        r = layout_install(layout, "ca", "ca.crl", &between);
    if (r == 0)
        r = layout_install(layout, "ca", "ca.crt", &new->ca_pem);
    if (r == 0 && removes)
        r = layout_install(layout, "ca", "ca.crl", &new->crl_pem);
    return r < 0 ? r : layout_reread(layout, new);
}

static int record(struct ca *ca, const struct bundle *bundle, const struct ca_publish_report *report)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct ledger_publication row = {.at = pc_now(), .crl_number = report->crl_number};
    snprintf(row.dir, sizeof row.dir, "%s", report->dir);
    int r = pki_digest_hex(bundle->crl_pem.data, bundle->crl_pem.len, row.crl_sha256);
    if (r == 0)
        r = pki_digest_hex(bundle->ca_pem.data, bundle->ca_pem.len, row.ca_sha256);
    if (r == 0)
        r = ca_begin(ca, &open);
    if (r == 0)
        r = ca->ledger->ops->publication_add(ca->ledger, &row);
    if (r == 0)
        r = ca_audit(ca, &(struct audit_act){.act = "publish",
                                             .outcome = "done",
                                             .crl_number = report->crl_number,
                                             .file_sha256 = row.crl_sha256,
                                             .count = (int64_t)report->retired});
    return r < 0 ? r : ca_commit(ca, &open);
}

/* Under the lock: what is on record is judged, and goes to its place. */
static int judge_and_install(struct ca *ca, const struct ca_publish_options *options, struct bundle *ret_new,
                             struct ca_publish_report *report)
{
    struct bundle PC_CLEANUP(bundle_clear) old = {0};
    struct layout layout = {.dir = report->dir, .report = report};
    pc_autoclose int lock = -1;
    struct ledger_crl last;
    int r = options->dry_run ? 0 : ca_lock(ca->settings, &lock);
    if (r == 0)
        r = ca->ledger->ops->crl_last(ca->ledger, ca->issuer.id, true, &last);
    if (r == 0)
        r = bundle_of_record(ca, ret_new);
    if (r < 0)
        return r;
    report->crl_number = last.number;
    bundle_of_files(report->dir, &old);
    r = preflight(ca, &old, ret_new, options->retired, report);
    if (r == PC_EREFUSED && !options->dry_run)
        r = ca_audit_refusal(ca, &(struct audit_act){.act = "publish",
                                                     .crl_number = last.number,
                                                     .count = (int64_t)report->shut_out_count});
    if (r == 0 && options->dry_run)
        report->written =
            (size_t)differs(&old.ca_pem, &ret_new->ca_pem) + (size_t)differs(&old.crl_pem, &ret_new->crl_pem);
    if (r == 0 && !options->dry_run)
        r = install(&layout, &old, ret_new);
    if (r == 0 && !options->dry_run)
        r = layout_leaves(&layout, ca);
    if (r == 0)
        r = layout_broker(&layout, ca, options);
    if (r == 0 && !options->dry_run)
        r = record(ca, ret_new, report);
    report->published = r == 0 && !options->dry_run;
    return r;
}

static int reload(const struct ca *ca, struct ca_publish_report *report)
{
    const char *command = ca->settings->publish_reload;
    if (!command || !*command)
        return 0;
    int r = pc_run("reload", command, NULL, 0);
    report->reloaded = r == 0;
    return r < 0 ? pc_fail_in("everything is published, but") : 0;
}

static int publish(struct ca *ca, const struct ca_publish_options *options, struct ca_publish_report *report)
{
    struct bundle PC_CLEANUP(bundle_clear) bundle = {0};
    struct probe PC_CLEANUP(probe_clear) probe = {0};
    const char *address = ca->settings->publish_probe;
    bool probes = address && *address && !options->dry_run;
    int r = probes ? probe_prepare(ca, address, &probe) : 0;
    if (r == 0 && !options->dry_run)
        r = renew_crl(ca);
    if (r == 0)
        r = judge_and_install(ca, options, &bundle, report);
    if (r == 0 && !options->dry_run)
        r = reload(ca, report);
    if (r == 0 && probes) {
        r = probe_ask(ca, &probe, &bundle);
        report->probed = r == 0;
    }
    return r < 0 ? r : layout_broker_left(report);
}

int ca_publish(struct ca *ca, const struct ca_publish_options *options, struct ca_publish_report *ret)
{
    static const struct ca_publish_options none;
    const char *dir = options && options->dir ? options->dir : ca->settings->publish_dir;
    *ret = (struct ca_publish_report){0};
    if (!dir || !*dir)
        return pc_fail(PC_EUSAGE, "no folder to publish to: [publish] dir is not set");
    int len = snprintf(ret->dir, sizeof ret->dir, "%s", dir);
    if (len < 0 || (size_t)len >= sizeof ret->dir)
        return pc_fail(PC_EUSAGE, "%.64s…: the folder's name is too long", dir);
    return publish(ca, options ? options : &none, ret);
}
