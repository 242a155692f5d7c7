/* Lets the shell call the functions of provision/tpm one by one: OPERATION OPERANDS…, exit code and error
 * name as the library gives them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "provision/tpm/key.h"
#include "provision/tpm/keyfile.h"
#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/secret.h"

static void notice(enum pc_level level, const char *text)
{
    (void)level;
    fprintf(stderr, "notice: %s\n", text);
}

static int load(const char *path, struct tpm_key **ret)
{
    pc_autobytes pem = {0};
    int result = pc_file_read(path, TPM_KEYFILE_MAX, &pem);
    return result < 0 ? result : tpm_keyfile_parse(pem.data, pem.len, ret);
}

static int store(const struct tpm_key *key, const char *path)
{
    pc_autobytes pem = {0};
    int result = tpm_keyfile_format(key, &pem);
    return result < 0 ? result : pc_file_write(path, pem.data, pem.len, NULL);
}

static void show(const struct tpm_key *key)
{
    char hex[2 * TPM_NAME_MAX + 1];
    pc_hex(tpm_key_name(key)->octets, tpm_key_name(key)->len, hex);
    printf("name %s\nhandle 0x%08x\ntype %d\n", hex, tpm_key_handle(key), (int)tpm_key_type(key));
}

static uint32_t handle_of(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 16);
}

/* create rsa|ec FILE */
static int run_create(struct tpm *tpm, char **arguments)
{
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    enum pki_key_type type = strcmp(arguments[0], "rsa") == 0    ? PKI_KEY_RSA_2048
                             : strcmp(arguments[0], "p384") == 0 ? PKI_KEY_EC_P384
                                                                 : PKI_KEY_EC_P256;
    int result = tpm_key_create(tpm, type, &key);
    if (result == 0)
        result = store(key, arguments[1]);
    if (result == 0)
        show(key);
    return result;
}

/* persist FILE HANDLE FILE2 */
static int run_persist(struct tpm *tpm, char **arguments)
{
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    int result = load(arguments[0], &key);
    if (result == 0)
        result = tpm_key_persist(tpm, key, handle_of(arguments[1]));
    if (result == 0)
        result = store(key, arguments[2]);
    if (result == 0)
        show(key);
    return result;
}

/* evict HANDLE FILE: if the handle holds the file's key */
static int run_evict(struct tpm *tpm, char **arguments)
{
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    int result = load(arguments[1], &key);
    return result < 0 ? result : tpm_handle_evict(tpm, handle_of(arguments[0]), tpm_key_name(key));
}

/* name HANDLE - */
static int run_name(struct tpm *tpm, char **arguments)
{
    struct tpm_name name;
    int result = tpm_handle_name(tpm, handle_of(arguments[0]), &name);
    if (result < 0)
        return result;
    char hex[2 * TPM_NAME_MAX + 1];
    pc_hex(name.octets, name.len, hex);
    puts(hex);
    return 0;
}

/* adopt HANDLE FILE: the reference to the device key that is there */
static int run_adopt(struct tpm *tpm, char **arguments)
{
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    int result = tpm_handle_key(tpm, handle_of(arguments[0]), &key);
    if (result == 0)
        result = store(key, arguments[1]);
    if (result == 0)
        show(key);
    return result;
}

/* free FIRST LAST */
static int run_free(struct tpm *tpm, char **arguments)
{
    uint32_t handle = 0;
    int result = tpm_handle_free(tpm, handle_of(arguments[0]), handle_of(arguments[1]), &handle);
    if (result == 0)
        printf("0x%08x\n", handle);
    return result;
}

/* probe FILE */
static int run_probe(struct tpm *tpm, char **arguments)
{
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    int result = load(arguments[0], &key);
    return result < 0 ? result : tpm_key_probe(tpm, key);
}

/* test FILE */
static int run_test(struct tpm *tpm, char **arguments)
{
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    int result = load(arguments[0], &key);
    return result < 0 ? result : tpm_key_test(tpm, key);
}

/* sign FILE rsassa|rsapss|ecdsa DIGEST SIGNATURE-FILE: signs the digest of "message" */
static int run_sign(struct tpm *tpm, char **arguments)
{
    static const char *const names[] = {
        [TPM_SCHEME_RSASSA] = "rsassa", [TPM_SCHEME_RSAPSS] = "rsapss", [TPM_SCHEME_ECDSA] = "ecdsa"};
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    int result = load(arguments[0], &key);
    if (result < 0)
        return result;
    int scheme = 0;
    while (scheme < 2 && strcmp(names[scheme], arguments[1]) != 0)
        scheme++;
    EVP_MD *md = EVP_MD_fetch(NULL, arguments[2], NULL);
    if (md == NULL)
        return pc_fail(PC_EUSAGE, "no digest %s", arguments[2]);
    unsigned char digest[EVP_MAX_MD_SIZE], signature[TPM_SIGNATURE_MAX];
    unsigned digest_len = 0;
    size_t len = 0;
    if (EVP_Digest("message", 7, digest, &digest_len, md, NULL) != 1)
        result = pc_fail_openssl(PC_EFAIL, "digest");
    if (result == 0)
        result = tpm_key_sign(tpm, key, (enum tpm_scheme)scheme, md, digest, digest_len, signature, &len);
    if (result == 0)
        result = pc_file_write(arguments[3], signature, len, NULL);
    EVP_MD_free(md);
    return result;
}

/* describe */
static int run_describe(struct tpm *tpm, char **arguments)
{
    (void)arguments;
    struct tpm_description description;
    int result = tpm_describe(tpm, &description);
    if (result == 0)
        printf("manufacturer %s\nvendor %s\nsimulator %d\nlockout %d %u %u %u\nloaded %u %u\n",
               description.manufacturer, description.vendor, description.simulator, description.in_lockout,
               description.lockout_counter, description.max_auth_fail, description.lockout_interval,
               description.transient_loaded, description.sessions_loaded);
    return result;
}

/* hold SECONDS: keeps the TPM open, idle */
static int run_hold(struct tpm *tpm, char **arguments)
{
    (void)tpm;
    puts("held");
    fflush(stdout);
    sleep((unsigned)atoi(arguments[0]));
    return 0;
}

static const struct operation {
    const char *name;
    int operands;
    int (*run)(struct tpm *tpm, char **arguments);
} operations[] = {
    {"create", 2, run_create}, {"persist", 3, run_persist}, {"evict", 2, run_evict},
    {"name", 1, run_name},     {"free", 2, run_free},       {"probe", 1, run_probe},
    {"test", 1, run_test},     {"sign", 4, run_sign},       {"describe", 0, run_describe},
    {"hold", 1, run_hold},     {"adopt", 2, run_adopt},
};

/* public FILE: the public key as PEM; needs no TPM */
static int print_public(const char *path)
{
    PC_CLEANUP(tpm_key_free_ref) struct tpm_key *key = NULL;
    EVP_PKEY *public_key = NULL;
    int result = load(path, &key);
    if (result == 0)
        result = tpm_key_public(key, &public_key);
    if (result == 0 && PEM_write_PUBKEY(stdout, public_key) != 1)
        result = pc_fail_openssl(PC_EFAIL, "cannot print");
    EVP_PKEY_free(public_key);
    return result;
}

/* In an environment variable, as only a test may. */
static int auth_of(const char *variable, struct pc_secret **ret)
{
    const char *text = getenv(variable);
    return text == NULL ? 0 : pc_secret_from_line(variable, (const unsigned char *)text, strlen(text), ret);
}

static int with_tpm(int count, char **arguments)
{
    pc_autosecret *owner = NULL, *srk = NULL;
    int result = auth_of("DRIVER_OWNER_AUTH", &owner);
    if (result == 0)
        result = auth_of("DRIVER_SRK_AUTH", &srk);
    if (result < 0)
        return result;
    const char *simulator = getenv("DRIVER_SIMULATOR"), *timeout = getenv("DRIVER_TIMEOUT");
    const struct tpm_place place = {
        .tcti = getenv("DRIVER_TCTI"),
        .allow_simulator = simulator == NULL || strcmp(simulator, "no") != 0,
        .timeout_ms = timeout ? atoi(timeout) : 0,
        .owner_auth = owner,
        .srk_auth = srk,
        .thorough = getenv("DRIVER_THOROUGH") != NULL,
    };
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strcmp(operations[i].name, arguments[0]) != 0 || operations[i].operands != count - 1)
            continue;
        PC_CLEANUP(tpm_close_ref) struct tpm *tpm = NULL;
        result = tpm_open(&place, &tpm);
        return result < 0 ? result : operations[i].run(tpm, arguments + 1);
    }
    return pc_fail(PC_EUSAGE, "no such operation: %s", arguments[0]);
}

int main(int argc, char **argv)
{
    pc_log_to(notice);
    int result;
    if (argc < 2)
        result = pc_fail(PC_EUSAGE, "OPERATION OPERANDS…");
    else if (argc == 3 && strcmp(argv[1], "public") == 0)
        result = print_public(argv[2]);
    else
        result = with_tpm(argc - 1, argv + 1);
    if (result < 0)
        fprintf(stderr, "%s: %s\n", pc_error_name(), pc_error_text());
    return -result;
}
