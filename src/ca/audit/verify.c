/* Verification from beginning to end: which part is looked at when, and what is reported. */
#include "src/ca/audit/verify.h"

#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/pki/openssl.h"

int list_add(struct list *list, const void *row, size_t size)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        void *grown = reallocarray(list->rows, room, size);
        if (!grown)
            return pc_fail(PC_EFAIL, "out of memory");
        list->rows = grown;
        list->room = room;
    }
    memcpy((char *)list->rows + list->count * size, row, size);
    list->count++;
    return 0;
}

static void verification_clear(struct verification *v)
{
    free(v->marks.rows);
    free(v->crls.rows);
    free(v->retired.rows);
    free(v->books.rows);
    free(v->admissions.rows);
    X509_CRL_free(v->last);
}

void verify_fault(struct verification *v, const char *rule, const char *format, ...)
{
    char text[768];
    va_list args;
    if (v->report.faults++ >= v->options->most)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->options->fault(v->options->context, rule, text);
}

/* The certificate that everything is judged by: the ledger's, the state folder's, the auditor's. */
static int verify_anchor(struct verification *v)
{
    pc_autofree char *path = NULL;
    int r = ca_state_path(v->ca->settings, "ca.crt", &path);
    const char *const files[] = {path, v->options->certificate};
    for (size_t i = 0; r == 0 && i < sizeof files / sizeof *files; i++) {
        PC_CLEANUP(X509_free_ref) X509 *certificate = NULL;
        pc_autobytes file = {0};
        if (!files[i] || (i == 0 && !pc_file_exists(path)))
            continue;
        r = pc_file_read(files[i], CA_FILE_MAX, &file);
        if (r < 0)
            return r;
        if (pki_certificate_parse(file.data, file.len, &certificate) < 0 ||
            X509_cmp(certificate, v->ca->certificate) != 0)
            verify_fault(v, "ca-certificate", "%s is not the CA certificate that the ledger holds", files[i]);
    }
    return r;
}

/* One state of the ledger, however long it takes. */
static int verify_all(struct verification *v)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    int r = v->ca->ledger->ops->begin(v->ca->ledger, false);
    if (r < 0)
        return r;
    open = v->ca->ledger;
    r = verify_anchor(v);
    if (r == 0)
        r = verify_checkpoints(v);
    if (r == 0)
        r = verify_heads(v);
    verify_marks_sort(v);
    if (r == 0)
        r = verify_chain(v);
    if (r < 0)
        return r;
    verify_marks_end(v);
    r = verify_last_crl(v);
    if (r == 0)
        r = verify_rows(v);
    if (r == 0)
        r = verify_books(v);
    if (r == 0)
        r = verify_admissions(v);
    if (r == 0)
        r = verify_crls(v);
    return r < 0 ? r : verify_witnesses(v);
}

int ca_audit_verify(struct ca *ca, const struct ca_verify_options *options, struct ca_verify_report *ret)
{
    struct verification PC_CLEANUP(verification_clear) v = {.ca = ca, .options = options};
    int r = verify_all(&v);
    if (r == 0)
        *ret = v.report;
    return r;
}
