/* Asks as the station's signer does: claim STATE PLANT KEY [CODE] [--use] [--from ADDRESS] [--keys N]. KEY is
 * a fingerprint, or a word that stands for one. Prints what it was told, and exits with its code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/ca/internal.h"

static int ask(struct ca *ca, const struct admission_claim *claim, bool use)
{
    struct ledger *open PC_CLEANUP(ledger_rollback_ref) = NULL;
    struct admission_grant grant;
    int r = ca_begin(ca, &open);
    if (r < 0)
        return r;
    r = admission_judge(ca, claim, &grant);
    if (r == 0 && use)
        r = admission_use(ca, grant.admission);
    if (r == 0)
        printf("granted %lld %s %d\n", (long long)grant.admission, *grant.replace ? grant.replace : "-",
               grant.revoke_old);
    if (r != 0 && r != PC_EPENDING)
        return r;
    char name[64];
    snprintf(name, sizeof name, "%s", pc_error_name());
    int committed = ca_commit(ca, &open);
    if (committed == 0 && r == PC_EPENDING)
        printf("%s\n", name);
    return committed < 0 ? committed : r;
}

int main(int argc, char **argv)
{
    char *operands[4] = {NULL};
    struct admission_claim claim = {.key_type = "ec:P-256", .from = "10.0.0.7", .waiting_keys = 8};
    bool use = false;
    size_t count = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--use") == 0)
            use = true;
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            claim.from = argv[++i];
        else if (strcmp(argv[i], "--keys") == 0 && i + 1 < argc)
            claim.waiting_keys = (unsigned)atoi(argv[++i]);
        else if (count < 4)
            operands[count++] = argv[i];
    }
    if (count < 3)
        return 2;
    char key[PKI_FINGERPRINT_TEXT], request[PKI_FINGERPRINT_TEXT];
    pki_digest_hex(operands[2], strlen(operands[2]), key);
    pki_digest_hex(key, strlen(key), request);
    claim.plant = operands[1];
    claim.key_sha256 = strlen(operands[2]) == 64 ? operands[2] : key;
    claim.request_sha256 = request;
    struct pc_secret code = {(unsigned char *)operands[3], operands[3] ? strlen(operands[3]) : 0};
    claim.code = operands[3] ? &code : NULL;
    const char *url = getenv("PC_LEDGER_URL");
    const struct ca_settings settings = {
        .state = operands[0], .ledger_url = url ? url : "sqlite", .program = "claim 1"};
    struct ca *ca PC_CLEANUP(ca_close_ref) = NULL;
    int r = ca_open(&settings, &ca);
    if (r == 0)
        r = ask(ca, &claim, use);
    if (r != 0 && r != PC_EPENDING)
        printf("%s\n", pc_error_name());
    if (r != 0)
        fprintf(stderr, "claim: %s\n", pc_error_text());
    return -r;
}
