/* plantca broker: the broker's server certificate, for a request or for a fresh software key that is written
 * beside it. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/cmd/checks.h"
#include "src/cmd/output.h"

#define CA_ISSUED PC_CLEANUP(ca_issued_clear) struct ca_issued
#define NEW_KEY_BITS 2048

PC_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);
PC_DEFINE_CLEANUP(BIO, BIO_free_all);

/* Writes the key as PKCS#8, 0600, only where nothing is. The PEM passes through memory that is wiped. */
static int write_key(EVP_PKEY *key, const char *path)
{
    PC_CLEANUP(BIO_free_all_ref) BIO *bio = BIO_new(BIO_s_secmem());
    struct pc_file_options options = {.mode = 0600, .fresh = true};
    char *pem = NULL;

    if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return pc_fail_openssl(PC_EFAIL, "broker key");
    long len = BIO_get_mem_data(bio, &pem);
    if (len <= 0)
        return pc_fail(PC_EFAIL, "broker key: nothing was encoded");
    int rc = pc_file_write(path, pem, (size_t)len, &options);
    OPENSSL_cleanse(pem, (size_t)len);
    return rc;
}

/* Two names of one file: the certificate would take the key's place. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat first, second;

    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

static int make_key(const char *path, const char *out, EVP_PKEY **ret)
{
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = EVP_RSA_gen(NEW_KEY_BITS);

    if (key == NULL)
        return pc_fail_openssl(PC_EFAIL, "broker key");
    int rc = write_key(key, path);
    if (rc == 0 && !cmd_is_stdout(out) && is_same_file(path, out)) {
        unlink(path);
        rc = pc_fail(PC_EUSAGE, "--new-key and --out name the same file");
    }
    if (rc == 0)
        *ret = pc_steal(key);
    return rc;
}

static int check_options(struct cmd *cmd)
{
    static const char *const sources[] = {"csr", "new-key", NULL};
    const char *key_path = cmd_value(cmd, "new-key"), *out = cmd_value(cmd, "out"),
               *cn = cmd_value(cmd, "cn");
    int rc = cmd_choose(cmd, false, sources);

    if (rc == 0 && cn != NULL && cmd_check_host(cn) != 0)
        return pc_fail_in("--cn");
    if (rc == 0 && key_path != NULL && cmd_is_stdout(key_path))
        return pc_fail(PC_EUSAGE, "--new-key: a private key is written to a file, not to standard output");
    if (rc == 0)
        rc = plantca_check_input(cmd, cmd_value(cmd, "csr"));
    if (rc == 0)
        rc = plantca_check_output(cmd, out);
    if (rc == 0 && key_path != NULL && pc_file_exists(key_path))
        return pc_refuse("file-exists", "%s: exists; a key is never written over", key_path);
    return rc == 0 ? plantca_check_output(cmd, key_path) : rc;
}

static int finish(struct cmd *cmd, const struct ca_issued *issued)
{
    const char *out = cmd_value(cmd, "out"), *key_path = cmd_value(cmd, "new-key");
    int rc = cmd_write(cmd, out, &issued->chain_pem, NULL);

    if (rc != 0)
        return rc;
    if (cmd_is_stdout(out))
        cmd->summary = stderr;
    plantca_issued_tell(cmd, issued, cmd_is_stdout(out) ? NULL : out);
    if (key_path != NULL) {
        cmd_set(cmd, "{s:o}", "key_file", cmd_json_text(key_path));
        cmd_field(cmd, "Key", "%s (0600)", key_path);
    }
    cmd_say(cmd,
            "Next: the key to where the broker reads it, then plantca publish (--new-broker-key where the "
            "broker had another before)\n");
    return 0;
}

int plantca_run_broker(struct cmd *cmd)
{
    const char *csr_path = cmd_value(cmd, "csr"), *key_path = cmd_value(cmd, "new-key");
    CA_ISSUED issued = {0};
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = NULL;
    pc_autobytes csr = {0};
    int rc = check_options(cmd);

    if (rc == 0 && csr_path != NULL)
        rc = plantca_read_request(csr_path, &csr);
    if (rc == 0)
        rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0 && key_path != NULL)
        rc = make_key(key_path, cmd_value(cmd, "out"), &key);
    if (rc != 0)
        return rc;
    struct ca_broker_options options = {.cn = cmd_value(cmd, "cn"),
                                        .san = cmd_value(cmd, "san"),
                                        .csr = csr_path != NULL ? &csr : NULL,
                                        .key = key};
    rc = ca_broker(ca, &options, &issued);
    if (rc != 0 && key != NULL)
        unlink(key_path); /* made by us a moment ago, and of no use without its certificate */
    else if (csr_path != NULL)
        rc = plantca_name_request(rc, csr_path);
    return rc == 0 ? finish(cmd, &issued) : rc;
}
