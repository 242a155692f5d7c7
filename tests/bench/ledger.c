/* ledger FOLDER COUNT [GROUP [URL]]: how many certificates a second the ledger takes, on one thread, in
 * groups as a batch writes them: each transaction records what was signed and reserves what is signed next,
 * and is durable before the following one begins. No token; what is signed is any octets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "src/base/error.h"
#include "src/base/random.h"
#include "src/base/time.h"
#include "src/ca/audit/audit.h"

static struct ledger *ledger;
static struct audit_writer *writer;
static struct ledger_issuer issuer;

static void must(int r, const char *what)
{
    if (r < 0) {
        fprintf(stderr, "ledger: %s: %s\n", what, pc_error_text());
        exit(1);
    }
}

static void random_hex(size_t octets, char *ret)
{
    unsigned char bytes[32];
    must(pc_random(bytes, octets), "random");
    bytes[0] = (unsigned char)(bytes[0] >> 2 | 0x20);
    pc_hex(bytes, octets, ret);
}

static int ignore(void *context, const struct ledger_certificate *row)
{
    (void)context;
    (void)row;
    return 0;
}

static void audit(const struct ledger_certificate *row, const char *act, const char *sha256)
{
    must(audit_append(ledger, writer,
                      &(struct audit_act){.act = act,
                                          .outcome = "done",
                                          .certificate = row->id,
                                          .profile = row->record.profile,
                                          .subject = row->record.cn,
                                          .serial = row->record.serial,
                                          .key_sha256 = row->record.key_sha256,
                                          .request_sha256 = row->record.key_sha256,
                                          .tbs_sha256 = row->record.key_sha256,
                                          .certificate_sha256 = sha256}),
         "audit");
}

static void reserve(struct ledger_certificate *row)
{
    unsigned char octets[600] = {1};
    char hex[65], subject[256];
    int64_t now = pc_now();
    *row = (struct ledger_certificate){.issuer = issuer.id};
    random_hex(20, row->record.serial);
    random_hex(32, row->record.key_sha256);
    random_hex(16, hex);
    snprintf(row->record.cn, sizeof row->record.cn, "%.8s-%.4s-4%.3s-a%.3s-%.12s", hex, hex + 8, hex + 12,
             hex + 15, hex + 20);
    strcpy(row->record.profile, "device");
    row->record.not_before = now - 300;
    row->record.not_after = now + 730 * PC_DAY;
    row->record.issued_at = now;
    must(ledger->ops->facts(ledger, row->record.cn, "device", row->record.key_sha256, ignore, NULL), "facts");
    must(ledger->ops->key_subject(ledger, row->record.key_sha256, subject), "key");
    must(ledger->ops->reserve(ledger, row, &row->id), "reserve");
    must(ledger->ops->signing(ledger, row->id, &(struct pc_bytes){octets, sizeof octets}), "signing");
    audit(row, "reserve", NULL);
}

static void issue(const struct ledger_certificate *row)
{
    unsigned char octets[700] = {2};
    must(ledger->ops->issue(ledger, row->id, &(struct pc_bytes){octets, sizeof octets},
                            row->record.key_sha256, pc_now()),
         "issue");
    audit(row, "issue", row->record.key_sha256);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static const struct audit_actor actor = {.program = "ledger", .module = "none"};
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0,
           group = argc > 3 ? strtoul(argv[3], NULL, 10) : 256;
    if (count == 0 || group == 0) {
        fprintf(stderr, "usage: ledger FOLDER COUNT [GROUP [URL]]\n");
        return 2;
    }
    must(ledger_open(argc > 4 ? argv[4] : "sqlite", argv[1], LEDGER_CREATE, &ledger), argv[1]);
    must(audit_writer_new(&actor, &writer), "audit");
    must(ledger->ops->issuer_get(ledger, &issuer), "issuer");
    if (issuer.id == 0) {
        const struct ledger_issuer plan = {.subject = "/CN=Bench",
                                           .key_type = "ec:P-256",
                                           .key_label = "x",
                                           .token_serial = "1",
                                           .key_id = {.octets = {7}, .len = 20},
                                           .days = 10,
                                           .planned_at = 1};
        must(ledger->ops->begin(ledger, true), "begin");
        must(ledger->ops->issuer_plan(ledger, &plan, &issuer.id), "plan");
        must(ledger->ops->commit(ledger), "commit");
    }
    struct ledger_certificate *rows = calloc(group, sizeof *rows);
    double start = seconds();
    for (size_t done = 0; rows && done <= count; done += group) {
        must(ledger->ops->begin_shared(ledger), "begin");
        for (size_t i = 0; done && i < group; i++)
            issue(&rows[i]);
        for (size_t i = 0; done + group <= count && i < group; i++)
            reserve(&rows[i]);
        must(ledger->ops->commit(ledger), "commit");
    }
    double spent = seconds() - start;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("%zu certificates in %.2f s: %.0f a second; %.0f us of CPU each; %ld MiB\n", count / group * group,
           spent, (double)(count / group * group) / spent, 1e6 * cpu / (double)count, usage.ru_maxrss / 1024);
    free(rows);
    audit_writer_free(writer);
    ledger_close(ledger);
    return 0;
}
