/* Makes requests as many plants would send them: requests DIR COUNT [rsa:2048]. Each has a key of its own,
 * P-256 if nothing is said, which is thrown away; DIR gets UUID.csr and, beside it, DIR.csv names them all.
 * With COUNT "-" the plants are those that standard input names, one a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/base/random.h"
#include "src/pki/name.h"
#include "src/pki/openssl.h"
#include "src/pki/request.h"

static int random_uuid(char ret[PKI_UUID_TEXT])
{
    unsigned char octets[16];
    char hex[2 * sizeof octets + 1];
    int r = pc_random(octets, sizeof octets);
    if (r < 0)
        return r;
    octets[6] = (octets[6] & 0x0f) | 0x40; /* RFC 4122 §4.4 */
    octets[8] = (octets[8] & 0x3f) | 0x80;
    pc_hex(octets, sizeof octets, hex);
    snprintf(ret, PKI_UUID_TEXT, "%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return 0;
}

static int make_one(const char *dir, const char *uuid, bool rsa, FILE *manifest)
{
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    pc_autobytes pem = {0};
    pc_autofree char *path = NULL;
    int r = key ? 0 : pc_fail_openssl(PC_EFAIL, "key");
    if (r == 0)
        r = pki_request_build(key, uuid, &pem);
    if (r == 0 && asprintf(&path, "%s/%s.csr", dir, uuid) < 0)
        r = pc_fail(PC_EFAIL, "out of memory");
    if (r == 0)
        r = pc_file_write(path, pem.data, pem.len, &(struct pc_file_options){.behind = true});
    if (r == 0 && fprintf(manifest, "%s,%s\r\n", uuid, path) < 0)
        r = pc_fail_errno(PC_EFAIL, "manifest");
    return r;
}

/* The next plant; false at the end of those that standard input names. */
static bool next(bool listed, char ret[PKI_UUID_TEXT], int *ret_code)
{
    char line[64];
    if (!listed) {
        *ret_code = random_uuid(ret);
        return true;
    }
    if (!fgets(line, sizeof line, stdin))
        return false;
    line[strcspn(line, "\n")] = '\0';
    *ret_code = pki_uuid_check(line);
    snprintf(ret, PKI_UUID_TEXT, "%s", line);
    return true;
}

/* `count` 0: those that standard input names. */
static int make_all(const char *dir, long count, bool rsa)
{
    pc_autofree char *name = NULL;
    int r = pc_dir_make(dir, 0755);
    if (r < 0 || asprintf(&name, "%s.csv", dir) < 0)
        return r < 0 ? r : pc_fail(PC_EFAIL, "out of memory");
    FILE *manifest = fopen(name, "w");
    if (!manifest)
        return pc_fail_errno(PC_EFAIL, "%s", name);
    char uuid[PKI_UUID_TEXT];
    for (long i = 0; r == 0 && (count == 0 || i < count) && next(count == 0, uuid, &r); i++)
        if (r == 0)
            r = make_one(dir, uuid, rsa, manifest);
    return fclose(manifest) == 0 || r < 0 ? r : pc_fail_errno(PC_EFAIL, "%s", name);
}

int main(int argc, char **argv)
{
    long count = argc == 3 || argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    bool rsa = argc == 4 && strcmp(argv[3], "rsa:2048") == 0;
    bool listed = argc > 2 && strcmp(argv[2], "-") == 0;
    if ((count <= 0 && !listed) || (argc == 4 && !rsa)) {
        fprintf(stderr, "usage: requests DIR COUNT|- [rsa:2048]\n");
        return 2;
    }
    int r = make_all(argv[1], count, rsa);
    if (r < 0)
        fprintf(stderr, "requests: %s\n", pc_error_text());
    return -r;
}
